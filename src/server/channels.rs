//! The ways out, as configured.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::app::delivery::{Deliverer, DeliverySettings};
use crate::channel::egress::EgressPolicy;
use crate::channel::email::{self, Email};
use crate::channel::webhook::{self, Webhook};
use crate::channel::{ChannelConfigError, Channels};
use crate::config::{Config, EmailTls};
use crate::domain::delivery::RetrySchedule;

/// The ways out, and how they are used.
pub(super) fn deliverer(config: &Config) -> Result<Deliverer, ChannelConfigError> {
    Ok(Deliverer {
        channels: open(config)?,
        egress: EgressPolicy {
            allow_networks: config.webhook.allow_networks.clone(),
            allow_http: config.webhook.allow_http,
        },
        settings: DeliverySettings {
            batch: config.delivery.batch,
            lease: config.delivery.lease,
            stream_lease: config.stream.lease,
            stream_heartbeat: config.stream.heartbeat,
            per_destination: config.delivery.per_destination,
            schedule: RetrySchedule {
                delays: config.delivery.retry_schedule.clone(),
                jitter: config.delivery.jitter,
                max_age: config.delivery.max_age,
            },
            public_url: config.http.public_url.clone(),
            reconcile_page: u64::try_from(config.reconcile.page).unwrap_or(u64::MAX),
            sweep_period: config.reconcile.sweep,
        },
    })
}

/// The channels that are switched on.
fn open(config: &Config) -> Result<Channels, ChannelConfigError> {
    let mut channels = Channels::default();
    if config.email.enabled {
        channels = channels.with("email", Email::new(email_settings(config)?)?);
    }
    if config.webhook.enabled {
        channels = channels.with(
            "webhook",
            Webhook::new(webhook::WebhookConfig {
                timeout: config.webhook.timeout,
                allow_networks: config.webhook.allow_networks.clone(),
                allow_http: config.webhook.allow_http,
                authorities: authorities("webhook.ca", config.webhook.ca.as_deref())?,
            })?,
        );
    }
    Ok(channels)
}

fn email_settings(config: &Config) -> Result<email::EmailConfig, ChannelConfigError> {
    let mail = &config.email;
    let needed = |key, value: Option<&str>| {
        value.map(str::to_owned).ok_or_else(|| ChannelConfigError { key, reason: "is needed to send mail".to_owned() })
    };
    Ok(email::EmailConfig {
        host: needed("email.host", mail.host.as_deref())?,
        port: mail.port_or_usual(),
        tls: match mail.tls {
            EmailTls::Starttls => email::Tls::StartTls,
            EmailTls::Implicit => email::Tls::Implicit,
            EmailTls::None => email::Tls::None,
        },
        username: mail.username.clone(),
        password: mail.password.clone(),
        from: needed("email.from", mail.from.as_deref())?,
        reply_to: mail.reply_to.clone(),
        timeout: mail.timeout,
        pool: mail.connections,
        message_id_domain: needed("email.message_id_domain", mail.message_id_domain_or_own())?,
        list_id: None,
        authorities: authorities("email.ca", mail.ca.as_deref())?,
    })
}

/// The certificates in a file of PEM, if one is named.
pub(super) fn authorities(
    key: &'static str,
    file: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, ChannelConfigError> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let unfit = |reason: String| ChannelConfigError { key, reason: format!("{} {reason}", file.display()) };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(unfit("holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unfit(format!("cannot be read as PEM: {error}"))),
    }
}
