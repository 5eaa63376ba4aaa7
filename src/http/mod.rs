//! The front door for people and probes, on a listener of its own: pages behind unguessable links, and the three
//! questions that supervisors ask.
//!
//! No cookies, no scripts, no redirects, nothing loaded from elsewhere. A link's token is a secret: pages are not cached,
//! not indexed, and send no referrer; the log knows routes, not paths. TLS is a proxy's business.

mod health;
mod unsubscribe;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{AutoEscape, Environment, context};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// A form with one button is shorter.
const MAX_BODY: usize = 4 * 1024;
/// Reading the request, the database's answer, and the page.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What handlers need.
#[derive(Clone)]
struct Site {
    app: Arc<App>,
    shutdown: CancellationToken,
    pages: Arc<Environment<'static>>,
}

/// All pages. From the moment `shutdown` is cancelled, the server says that it is not ready.
pub(crate) fn router(app: Arc<App>, shutdown: CancellationToken) -> axum::Router {
    let site = Site { app, shutdown, pages: Arc::new(templates()) };
    axum::Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/startupz", get(health::started))
        .route("/u/{token}", get(unsubscribe::ask).post(unsubscribe::unsubscribe))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard))
        .with_state(site)
}

fn templates() -> Environment<'static> {
    let mut pages = Environment::new();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, source) in [
        ("layout", include_str!("templates/layout.html")),
        ("unsubscribe", include_str!("templates/unsubscribe.html")),
        ("notice", include_str!("templates/notice.html")),
    ] {
        pages.add_template(name, source).expect("the templates are compiled in; a test renders them");
    }
    pages
}

impl Site {
    fn render(&self, status: StatusCode, template: &str, values: minijinja::Value) -> Response {
        let page = self.pages.get_template(template).and_then(|template| template.render(values));
        (status, Html(page.expect("the templates are compiled in; a test renders them"))).into_response()
    }

    /// A page that only says something.
    fn notice(&self, status: StatusCode, title: &str, text: &str) -> Response {
        self.render(status, "notice", context! { title, text })
    }
}

async fn nothing_here(State(site): State<Site>) -> Response {
    site.notice(StatusCode::NOT_FOUND, "Nothing here", "There is no page at this address.")
}

/// The time limit and the headers of every answer.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "This took too long. Please try again.").into_response(),
    };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
