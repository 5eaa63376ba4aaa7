//! Starting: what happens before a server serves.

use std::process::Stdio;

use futures::future::join_all;
use tokio::process::Command;

use crate::support::database::Database;

#[tokio::test]
async fn processes_that_open_a_new_database_at_once_make_one_schema() {
    let database = Database::fresh().await;
    let ends = join_all((0..6).map(|_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearback"));
        command.arg("migrate").env_clear().current_dir(database.folder()).stdin(Stdio::null()).kill_on_drop(true);
        database.flags().iter().for_each(|flag| {
            command.arg("--set").arg(flag);
        });
        command.output()
    }))
    .await;
    for end in ends {
        let output = end.expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
