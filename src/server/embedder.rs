//! The embedder beside the built-in table, as configured.

use tokio_util::task::TaskTracker;

use crate::app::embedding::{EmbeddingSettings, Endpoint};
use crate::channel::tls_client_config;
use crate::clock::Clock;
use crate::config::EmbedderConfig;
use crate::embedder::{EmbedderConfigError, HttpEmbedder, HttpEmbedderSettings};

use super::channels::authorities;

/// The endpoint, if one is switched on.
pub(super) fn endpoint(
    config: &EmbedderConfig,
    clock: Clock,
    tasks: TaskTracker,
) -> Result<Option<Endpoint>, EmbedderConfigError> {
    let settings = EmbeddingSettings { timeout: config.timeout, batch: config.batch };
    Ok(embedder(config)?.map(|embedder| Endpoint::new(embedder, settings, clock, tasks)))
}

/// The embedder, if one is switched on.
pub(crate) fn embedder(config: &EmbedderConfig) -> Result<Option<HttpEmbedder>, EmbedderConfigError> {
    if !config.enabled {
        return Ok(None);
    }
    let needed = |key| EmbedderConfigError { key, reason: "is needed to ask an embedder".to_owned() };
    let ca = |error: crate::channel::ChannelConfigError| EmbedderConfigError { key: error.key, reason: error.reason };
    let authorities = authorities("embedder.ca", config.ca.as_deref()).map_err(ca)?;
    let embedder = HttpEmbedder::new(HttpEmbedderSettings {
        url: config.url.clone().ok_or_else(|| needed("embedder.url"))?,
        model: config.model.clone().ok_or_else(|| needed("embedder.model"))?,
        api_key: config.api_key.clone(),
        dimensions: config.dimensions,
        tls: tls_client_config(&[b"h2", b"http/1.1"], &authorities).map_err(ca)?,
    })?;
    Ok(Some(embedder))
}
