//! The page behind the link in every mail: following it changes nothing, its button does.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, browser};

async fn link(server: &Server) -> (Report, String) {
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, "github:acme/app#12").await;
    server.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    let mail = server.mail_to("ada@example.org").remove(0);
    assert!(mail.text.contains(&mail.unsubscribe_url()), "people find it in the text too");
    (ada, server.page(&mail.unsubscribe_url()))
}

async fn state(server: &Server, report: &Report) -> contact_point::State {
    server.customer(&report.customer_id).await.contact_points[0].state()
}

#[tokio::test]
async fn following_the_link_changes_nothing_and_the_button_unsubscribes() {
    let server = Server::start().await;
    let (ada, link) = link(&server).await;
    let client = browser();
    for _ in 0..3 {
        let page = client.get(&link).send().await.expect("a page");
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["cache-control"], "no-store");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
        let html = page.text().await.expect("HTML");
        assert!(html.contains("<form") && html.contains("One-Click"), "{html}");
        assert!(!html.contains("ada@example.org"), "a forwarded link shows nobody's address: {html}");
    }
    assert_eq!(client.head(&link).send().await.expect("an answer").status(), 200);
    assert_eq!(state(&server, &ada).await, contact_point::State::Active);

    let form = "application/x-www-form-urlencoded";
    let post = |body: &'static str| client.post(&link).header("content-type", form).body(body).send();
    assert_eq!(post("something=else").await.expect("an answer").status(), 400);
    assert_eq!(state(&server, &ada).await, contact_point::State::Active);
    for _ in 0..2 {
        assert_eq!(post("List-Unsubscribe=One-Click").await.expect("an answer").status(), 200);
        assert_eq!(state(&server, &ada).await, contact_point::State::OptedOut);
    }
    let history = server.history("").await;
    let changes = history.iter().filter(|(_, event)| event.r#type == "customer.preferences_updated").count();
    assert_eq!(changes, 1, "done once");
}

#[tokio::test]
async fn a_link_that_was_never_sent_unsubscribes_nobody() {
    let server = Server::start().await;
    let (ada, link) = link(&server).await;
    let client = browser();
    let mut wrong = link.clone();
    let last = wrong.pop().expect("a link");
    wrong.push(if last == 'a' { 'b' } else { 'a' });
    let base = server.http_url("");
    for link in [
        wrong,
        format!("{base}/u/"),
        format!("{base}/u/%00"),
        format!("{base}/u/..%2f"),
        format!("{base}/u/{}", "x".repeat(4_000)),
    ] {
        assert_eq!(client.get(&link).send().await.expect("a page").status(), 404, "{link}");
        let post = client.post(&link).header("content-type", "application/x-www-form-urlencoded");
        let status = post.body("List-Unsubscribe=One-Click").send().await.expect("an answer").status();
        assert_eq!(status, 404, "{link}");
    }
    assert_eq!(state(&server, &ada).await, contact_point::State::Active);
}

#[tokio::test]
async fn probes_are_answered() {
    let server = Server::start().await;
    let client = browser();
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(client.get(server.http_url(path)).send().await.expect("an answer").status(), 200, "{path}");
    }
    assert_eq!(client.get(server.http_url("/nothing")).send().await.expect("an answer").status(), 404);
    server.begin_to_stop();
    assert_eq!(client.get(server.http_url("/readyz")).send().await.expect("an answer").status(), 503);
    assert_eq!(client.get(server.http_url("/livez")).send().await.expect("an answer").status(), 200);
}
