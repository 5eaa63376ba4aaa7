//! Law 1: acknowledged is durable. A real process, killed without a chance to say goodbye.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::database::Database;
use crate::support::{Caller, Server, a_report, soon};

/// `hearback serve` in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
    key: Option<String>,
}

impl Process {
    async fn serve(database: &Database, is_first: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearback"));
        command.arg("serve").env_clear().current_dir(database.folder());
        for flag in
            database.flags().iter().map(String::as_str).chain(["grpc.listen=127.0.0.1:0", "http.listen=127.0.0.1:0"])
        {
            command.arg("--set").arg(flag);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut address, mut key) = (None, None);
        let mut said = Vec::new();
        soon("the server to say where it listens", async {
            while address.is_none() || is_first && key.is_none() {
                let line = tokio::select! {
                    Ok(Some(line)) = out.next_line() => line,
                    Ok(Some(line)) = log.next_line() => line,
                    else => panic!("the server ended: {said:#?}"),
                };
                key = key
                    .take()
                    .or_else(|| line.split_whitespace().find(|word| word.starts_with("hb_")).map(str::to_owned));
                if line.contains("serving gRPC on ") {
                    address =
                        line.split("serving gRPC on ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
                }
                said.push(line);
            }
        })
        .await;
        // Nobody reads on, but a full pipe must not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = out.next_line().await {} });
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { child, address: address.expect("it said so"), key }
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("it is killed");
    }
}

#[tokio::test]
async fn law_1_what_was_answered_ok_is_there_after_kill_9() {
    let database = Database::fresh().await;
    let mut process = Process::serve(&database, true).await;
    let key = process.key.clone().expect("the first start prints a key");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let caller = Caller::connect(process.address, &key).await;
        for report in &acknowledged {
            assert_eq!(&caller.report(id_of(report)).await, report, "after {round} kills");
        }
        let next = a_report().product("").from("ada@example.org").saying(&format!("Problem number {round}"));
        let report = caller.submit(next).await;
        process.kill().await;
        acknowledged.push(report);
        process = Process::serve(&database, false).await;
        assert_eq!(process.key, None, "a key is shown once");
    }
    let caller = Caller::connect(process.address, &key).await;
    for report in &acknowledged {
        assert_eq!(&caller.report(id_of(report)).await, report);
    }
    let history = caller.history("").await;
    let sequences: Vec<i64> = history.iter().map(|(_, event)| event.sequence).collect();
    assert!(sequences.iter().copied().eq(1..=sequences.len() as i64), "{sequences:?}");
    process.kill().await;
}

fn id_of(report: &crate::support::proto::Report) -> &str {
    &report.id
}

#[tokio::test]
async fn law_1_what_was_answered_ok_is_there_after_a_crash() {
    let mut server = Server::start().await;
    for number in 0..3 {
        let report = server.submit(a_report().from("ada@example.org").saying(&format!("Problem {number}"))).await;
        server = server.crash().await;
        assert_eq!(server.report(&report.id).await, report);
    }
}
