//! Servers in processes of their own, and what they cost.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::super::client::endpoint;

/// A cold start with a large index takes a while; one that never ends is noticed.
const START_MAX: Duration = Duration::from_secs(300);
/// Fine enough for a start of some milliseconds.
const POLL: Duration = Duration::from_millis(2);
/// Lines of a failed server's log that are shown.
const LOG_TAIL: usize = 15;
/// Linux counts CPU time in hundredths of a second for every process, whatever its own ticks are.
const TICKS_PER_SECOND: u64 = 100;

/// A setting of the server, as `section.key`.
pub(super) struct Setting {
    key: String,
    value: SecretString,
}

impl Setting {
    /// A setting that anybody may see.
    pub(super) fn plain(key: &str, value: impl Into<String>) -> Self {
        Self::secret(key, SecretString::from(value.into()))
    }

    /// A setting that nobody may see.
    pub(super) fn secret(key: &str, value: SecretString) -> Self {
        Self { key: key.to_owned(), value }
    }
}

/// A server in a process of its own. Ends at the latest when dropped.
pub(super) struct Process {
    folder: TempDir,
    settings: Vec<Setting>,
    address: SocketAddr,
    child: Option<Child>,
}

impl Process {
    /// A server to be started: over `data_dir`, or over a fresh folder of its own.
    ///
    /// # Errors
    /// If there is no folder or no free port.
    pub(super) fn prepare(data_dir: Option<&Path>, mut settings: Vec<Setting>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let data_dir = match data_dir {
            Some(data_dir) => std::path::absolute(data_dir)?,
            None => folder.path().join("data"),
        };
        let (address, http) = (free_address()?, free_address()?);
        settings.push(Setting::plain("data_dir", data_dir.display().to_string()));
        settings.push(Setting::plain("grpc.listen", address.to_string()));
        settings.push(Setting::plain("http.listen", http.to_string()));
        settings.push(Setting::plain("http.public_url", format!("http://{http}")));
        settings.push(Setting::plain("webhook.enabled", "false"));
        settings.push(Setting::plain("log.filter", "warn"));
        Ok(Self { folder, settings, address, child: None })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// This executable with its settings and no others: neither the caller's environment nor a file in the caller's
    /// folder may change what is measured.
    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("this executable cannot be found")?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HEARBACK_") {
                command.env_remove(name);
            }
        }
        for Setting { key, value } in &self.settings {
            let name = format!("HEARBACK__{}", key.replace('.', "__").to_uppercase());
            command.env(name, value.expose_secret());
        }
        command.current_dir(self.folder.path()).kill_on_drop(true).stdin(Stdio::null());
        Ok(command)
    }

    /// Makes a key that may do everything, directly in the database.
    ///
    /// # Errors
    /// If that fails: there has to be one tenant, which a server's first start makes.
    pub(super) async fn create_key(&self) -> anyhow::Result<SecretString> {
        let output =
            self.command()?.args(["key", "create", "--name", "bench", "--scope", "admin", "--quiet"]).output().await?;
        if !output.status.success() {
            bail!("no key could be made: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let key = String::from_utf8(output.stdout).context("a key is text")?;
        Ok(SecretString::from(key.trim().to_owned()))
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Starts it and waits until it says that it serves. Answers with how long that took.
    ///
    /// # Errors
    /// If it stops, or does not serve in time.
    pub(super) async fn start(&mut self) -> anyhow::Result<Duration> {
        let log = std::fs::File::create(self.log())?;
        let begin = Instant::now();
        let mut command = self.command()?;
        let child = command.arg("serve").stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log)).spawn();
        let child = self.child.insert(child.context("the server cannot be started")?);
        let mut health = HealthClient::new(endpoint(&format!("http://{}", self.address))?.connect_lazy());
        loop {
            let status = health.check(HealthCheckRequest::default()).await;
            if status.is_ok_and(|status| status.get_ref().status() == ServingStatus::Serving) {
                return Ok(begin.elapsed());
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server stopped ({status}):\n{}", tail(&self.log()));
            }
            if begin.elapsed() > START_MAX {
                bail!("the server does not serve after {} s:\n{}", START_MAX.as_secs(), tail(&self.log()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The empty handler, started.
    ///
    /// # Errors
    /// If it does not say where it listens.
    pub(super) async fn empty_server() -> anyhow::Result<Self> {
        let mut server = Self::prepare(None, Vec::new())?;
        let mut command = server.command()?;
        // It ends with its standard input, which is kept open inside `child`.
        let mut child = command.args(["bench", "empty-server"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().expect("it was piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        server.address = line.trim().parse().context("the empty handler does not say where it listens")?;
        server.child = Some(child);
        Ok(server)
    }

    /// CPU time it has used so far; `None` where the system does not say.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let pid = self.child.as_ref()?.id()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        cpu_of(&stat)
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        if let Some(mut child) = self.child.take() {
            // It has nothing to lose: what it acknowledged is durable, and its folder goes now.
            let _ = child.kill().await;
        }
    }
}

/// User and system time in a line of `/proc/PID/stat`. The name in brackets may contain anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

/// An address on loopback that is free now. Somebody may take it before the server does, which then says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no loopback port can be opened")?;
    Ok(listener.local_addr()?)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of("nonsense"), None);
    }
}
