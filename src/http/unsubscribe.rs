//! One-click unsubscribe (RFC 8058), for mail programs and for people.
//!
//! Mail programs POST without showing anything, and must not be redirected or asked for cookies. People follow the link,
//! which changes nothing: scanners follow links too. Their page has one button, which sends the same POST. When the
//! answer arrives, it is done: nothing is sent to that address from then on (law 12).

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use minijinja::context;
use tracing::error;

use super::Site;
use crate::app::Error;
use crate::telemetry::chain;

/// The field that mail programs send, and its only value.
const FIELD: &str = "List-Unsubscribe";
const VALUE: &str = "One-Click";

/// Asks, and changes nothing.
pub(super) async fn ask(State(site): State<Site>, Path(token): Path<String>) -> Response {
    match site.app.find_unsubscribe(&token).await {
        Ok(Some(found)) => site.render(
            StatusCode::OK,
            "unsubscribe",
            context! { title => "Unsubscribe", address => found.masked_address },
        ),
        Ok(None) => unknown(&site),
        Err(error) => failed(&site, &error),
    }
}

/// Does it.
pub(super) async fn unsubscribe(
    State(site): State<Site>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_one_click(&headers, &body) {
        let text = "This request did not come from the button or from a mail program. Open the link again.";
        return site.notice(StatusCode::BAD_REQUEST, "Nothing was changed", text);
    }
    match site.app.unsubscribe_by_token(&token, site.app.clock.now()).await {
        Ok(Some(_)) => {
            let text = "You will get no more messages about your reports at this address. \
                What you reported is still being looked after.";
            site.notice(StatusCode::OK, "You are unsubscribed", text)
        }
        Ok(None) => unknown(&site),
        Err(error) => failed(&site, &error),
    }
}

/// Both forms a mail program may send: the field as a URL-encoded form or as a part of a multipart one.
fn is_one_click(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("multipart/form-data") {
        let text = String::from_utf8_lossy(body);
        return text.contains(&format!("name=\"{FIELD}\"")) && text.lines().any(|line| line.trim() == VALUE);
    }
    url::form_urlencoded::parse(body).any(|(name, value)| name == FIELD && value == VALUE)
}

fn unknown(site: &Site) -> Response {
    let text = "This link is not, or no longer, known here. It may have been cut short: try to open it from the \
        message again. If messages keep coming, answer one of them and say so.";
    site.notice(StatusCode::NOT_FOUND, "This link is not known", text)
}

fn failed(site: &Site, error: &Error) -> Response {
    error!(error = %chain(error), "an unsubscribe link could not be answered");
    let text = "We could not do this right now. Please open the link again in a few minutes.";
    site.notice(StatusCode::SERVICE_UNAVAILABLE, "Please try again", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_one_click_are_understood_and_nothing_else() {
        let with = |kind: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            is_one_click(&headers, body.as_bytes())
        };
        let form = "application/x-www-form-urlencoded";
        assert!(with(form, "List-Unsubscribe=One-Click"));
        assert!(!with(form, "List-Unsubscribe=Two-Clicks") && !with(form, "") && !with(form, "One-Click"));
        let part = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
        assert!(with("multipart/form-data; boundary=b", part));
        assert!(!with("multipart/form-data; boundary=b", "--b--"));
        assert!(!with(form, part));
    }
}
