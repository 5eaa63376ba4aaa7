//! `hearback health`: asks a server whether it serves, and answers by exit code. For containers and scripts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tonic::transport::{Certificate, ClientTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::Globals;
use super::client::{self, CallError};
use super::output::{OutputFormat, print_json, print_line};
use crate::config::Config;

/// Shorter than the patience of those who ask: container runtimes give up after some seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// The server, as http://HOST:PORT or https://HOST:PORT; without it, the one configured here.
    #[arg(long, env = "HEARBACK_ADDRESS", value_name = "URL")]
    address: Option<String>,
    /// Certificates (PEM) of the authority that signed the server's; without it, those the web trusts.
    #[arg(long, env = "HEARBACK_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// One service, such as hearback.v1.ReportService; without it, the whole server.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    service: String,
}

/// The server is not well, or not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotServing(pub(crate) String);

impl Health {
    pub(super) async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let address = match self.address {
            Some(address) => address,
            None => own_address(&globals.load_config()?),
        };
        let mut endpoint = client::endpoint(&address)?.connect_timeout(PATIENCE).timeout(PATIENCE);
        if address.starts_with("https:") {
            let mut tls = ClientTlsConfig::new();
            tls = match &self.ca {
                Some(file) => {
                    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
                None => tls.trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            };
            endpoint = endpoint.tls_config(tls).context("the certificates are not usable")?;
        }
        let mut health = HealthClient::new(endpoint.connect_lazy());
        let answer = tokio::time::timeout(PATIENCE, health.check(HealthCheckRequest { service: self.service })).await;
        let status = match answer {
            Ok(Ok(answer)) => answer.into_inner().status(),
            Ok(Err(status)) => return Err(NotServing(format!("{address}: {}", CallError::from(status))).into()),
            Err(_) => return Err(NotServing(format!("{address} did not answer within {PATIENCE:?}")).into()),
        };
        let is_serving = i32::from(status) == ServingStatus::Serving as i32;
        match globals.output {
            OutputFormat::Json => print_json(&json!({ "address": address, "serving": is_serving }))?,
            OutputFormat::Table if is_serving => print_line(&format!("{address} is serving."))?,
            OutputFormat::Table => {}
        }
        if is_serving { Ok(()) } else { Err(NotServing(format!("{address} is not serving")).into()) }
    }
}

/// Where a server with this configuration is reached from the same machine.
fn own_address(config: &Config) -> String {
    let listen = config.grpc.listen;
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if config.grpc.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadOptions;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_at_this_machine() {
        let with = |listen: &str| {
            let overrides = vec![format!("grpc.listen={listen}")];
            own_address(&Config::load(LoadOptions { overrides, ..LoadOptions::default() }).unwrap())
        };
        assert_eq!(with("0.0.0.0:7431"), "http://127.0.0.1:7431");
        assert_eq!(with("[::]:7431"), "http://[::1]:7431");
        assert_eq!(with("10.1.2.3:7431"), "http://10.1.2.3:7431");
    }
}
