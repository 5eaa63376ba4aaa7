//! What a configured embedder says of a stream, asked before the first report comes: its time is not the engine's.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;

use super::stream::Labelled;
use crate::config::EmbedderConfig;
use crate::embedder::HttpEmbedder;
use crate::matching::{Embedding, Order, Space};
use crate::server::embedder::embedder;

/// Asks the configured embedder about every text, each once.
///
/// # Errors
/// If none is configured, or it does not answer.
pub(super) fn embed(reports: &mut [Labelled], config: &EmbedderConfig) -> anyhow::Result<()> {
    let embedder = embedder(config)?.context("no embedder is switched on: set embedder.enabled, .url and .model")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(reports, &embedder, config))
}

async fn ask(reports: &mut [Labelled], embedder: &HttpEmbedder, config: &EmbedderConfig) -> anyhow::Result<()> {
    let space = Space::named(embedder.id());
    let order = if embedder.is_ordered() { Order::MostTellingFirst } else { Order::Any };
    let mut known: HashMap<String, Embedding> = HashMap::from([(String::new(), Embedding::without_direction(space))]);
    let said: Vec<String> = reports.iter().map(Labelled::said).collect();
    let texts: BTreeSet<&String> = said.iter().filter(|text| !text.is_empty()).collect();
    let texts: Vec<String> = texts.into_iter().cloned().collect();
    for some in texts.chunks(config.batch.max(1)) {
        let vectors = embedder.embed(some, config.timeout).await.context("the embedder gave no vectors")?;
        for (text, numbers) in some.iter().zip(vectors) {
            known.insert(text.clone(), Embedding::of(space, &numbers, order)?);
        }
    }
    for (report, text) in reports.iter_mut().zip(&said) {
        report.embedding = known.get(text).cloned();
    }
    Ok(())
}
