//! The endpoint at the wire: a real listener that says what a script tells it to.

use std::sync::{Arc, Mutex};

use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Speaks HTTP/1.1 on a free port of this machine; each answer once, the last again and again. `None` says nothing.
struct Scripted {
    url: Url,
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    async fn new(answers: &[Option<String>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap()).parse().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answers, hears) = (answers.to_vec(), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = hears.lock().unwrap().len();
                let answer = answers[at.min(answers.len() - 1)].clone();
                talk(stream, answer, &hears).await;
            }
        });
        Self { url, heard, task }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn talk(mut stream: TcpStream, answer: Option<String>, heard: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    heard.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    match answer {
        Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
        None => {
            // Until the other side hangs up.
            drop(stream.read(&mut buffer).await);
        }
    }
}

fn says(head: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

const TWO: &str = r#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[0,1]}]}"#;
const AMPLE: Duration = Duration::from_secs(20);

fn settings(url: &Url) -> HttpEmbedderSettings {
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    HttpEmbedderSettings {
        url: url.clone(),
        model: "small".to_owned(),
        api_key: Some("271828".into()),
        dimensions: None,
        tls,
    }
}

fn texts() -> Vec<String> {
    vec!["one".to_owned(), "two".to_owned()]
}

async fn embed(endpoint: &Scripted, budget: Duration) -> Result<Vec<Vec<f32>>, EmbedError> {
    HttpEmbedder::new(settings(&endpoint.url)).unwrap().embed(&texts(), budget).await
}

#[tokio::test]
async fn an_endpoint_is_asked_as_the_api_has_it() {
    let endpoint = Scripted::new(&[says("200 OK", TWO)]).await;
    assert_eq!(embed(&endpoint, AMPLE).await.unwrap(), [[1.0, 0.0], [0.0, 1.0]]);
    let request = endpoint.heard().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer 271828", "content-type: application/json"] {
        assert!(head.lines().any(|other| other == line), "{line}\n{head}");
    }
    assert_eq!(body, r#"{"model":"small","input":["one","two"]}"#);

    let fewer = HttpEmbedderSettings { dimensions: Some(2), api_key: None, ..settings(&endpoint.url) };
    HttpEmbedder::new(fewer).unwrap().embed(&texts(), AMPLE).await.unwrap();
    let request = endpoint.heard().remove(1);
    assert!(request.ends_with(r#""input":["one","two"],"dimensions":2}"#) && !request.contains("uthorization"));
}

#[tokio::test]
async fn a_busy_endpoint_is_asked_again_while_there_is_time() {
    for head in ["429 Too Many Requests\r\nretry-after: 0", "500 Oops", "503 Gone fishing"] {
        let endpoint = Scripted::new(&[says(head, ""), says(head, ""), says("200 OK", TWO)]).await;
        assert_eq!(embed(&endpoint, AMPLE).await.unwrap().len(), 2, "{head}");
        assert_eq!(endpoint.heard().len(), 3);
    }
}

#[tokio::test]
async fn who_asks_for_more_time_than_there_is_is_not_waited_for() {
    let endpoint = Scripted::new(&[says("429 Too Many Requests\r\nretry-after: 120", "")]).await;
    let begin = Instant::now();
    let error = embed(&endpoint, AMPLE).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert!(begin.elapsed() < AMPLE && endpoint.heard().len() == 1);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_whether_the_texts_may_be_at_fault() {
    let refused = r#"{"error":{"message":"my cat","code":"context_length_exceeded"}}"#;
    for (head, texts) in [
        ("400 Bad Request", true),
        ("413 Too Large", true),
        ("401 Unauthorized", false),
        ("404 Not Found", false),
        ("302 Found\r\nlocation: /", false),
    ] {
        let endpoint = Scripted::new(&[says(head, refused)]).await;
        let error = embed(&endpoint, AMPLE).await.unwrap_err();
        assert_eq!(error.may_be_the_texts(), texts, "{error}");
        let said = error.to_string();
        assert!(said.contains("context_length_exceeded") && !said.contains("cat"), "{said}");
        assert_eq!(endpoint.heard().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_wrong_answer_is_not_asked_for_again() {
    for body in ["nonsense", r#"{"data":[]}"#] {
        let endpoint = Scripted::new(&[says("200 OK", body)]).await;
        assert!(matches!(embed(&endpoint, AMPLE).await, Err(EmbedError::Malformed(_))), "{body}");
        assert_eq!(endpoint.heard().len(), 1);
    }
}

#[tokio::test]
async fn silence_ends_with_the_budget_and_nobody_is_no_answer() {
    let endpoint = Scripted::new(&[None]).await;
    assert!(matches!(embed(&endpoint, Duration::from_millis(50)).await, Err(EmbedError::TimedOut)));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/?key=271828").parse().unwrap();
    let error =
        HttpEmbedder::new(settings(&url)).unwrap().embed(&texts(), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, EmbedError::Unreachable(_) | EmbedError::TimedOut), "{error}");
    assert!(!format!("{error} {error:?}").contains("271828"));
}

#[test]
fn whatever_changes_the_vectors_changes_the_name() {
    let url: Url = "https://example.org/v1".parse().unwrap();
    let id = |change: fn(&mut HttpEmbedderSettings)| {
        let mut settings = settings(&url);
        change(&mut settings);
        HttpEmbedder::new(settings).unwrap().id().to_owned()
    };
    let usual = id(|_| {});
    assert_eq!(usual, id(|settings| settings.api_key = None), "another key is no other model");
    for other in [
        id(|settings| settings.model = "large".to_owned()),
        id(|settings| settings.dimensions = Some(256)),
        id(|settings| settings.url = "https://example.com/v1".parse().unwrap()),
    ] {
        assert_ne!(usual, other);
    }
    let unfit = HttpEmbedderSettings { api_key: Some("a\nb".into()), ..settings(&url) };
    assert_eq!(HttpEmbedder::new(unfit).err().unwrap().key, "embedder.api_key");
}
