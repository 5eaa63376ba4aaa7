//! Logs, and how errors are written in them.
//!
//! One event is one line on standard error, for people or as JSON. What comes from outside can neither begin a line of
//! its own nor steer a terminal: control characters inside an event are written as `\n`, `\u{1b}` and so on.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody has set up logging in this process before.
    #[error("logging is already set up")]
    AlreadySet(#[source] Box<dyn Error + Send + Sync>),
}

/// Sends the process's events to standard error. With `ansi`, text is coloured where that can be seen: on a terminal,
/// and not against the wish of `NO_COLOR`.
///
/// # Errors
/// A filter that cannot be read, or a second call in one process.
pub fn init(format: LogFormat, filter: &str, ansi: bool) -> Result<(), TelemetryError> {
    let parsed =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let colour = ansi && format == LogFormat::Text && shows_colour();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(colour)
        .with_writer(WholeLines { make: io::stderr, colour });
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(TelemetryError::AlreadySet)
}

/// An error with everything that caused it, separated by `: `. A cause that its consequence has already quoted is not
/// repeated.
pub fn chain(error: &dyn Error) -> impl fmt::Display {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !last.contains(&said) {
            text = format!("{text}: {said}");
            last = said;
        }
        cause = error.source();
    }
    text
}

fn shows_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Makes writers that keep each event on one line.
struct WholeLines<M> {
    make: M,
    colour: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for WholeLines<M> {
    type Writer = WholeLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        WholeLine { to: self.make.make_writer(), colour: self.colour }
    }
}

/// Writes one event, which arrives in one piece with its line break at the end.
struct WholeLine<W> {
    to: W,
    colour: bool,
}

impl<W: Write> Write for WholeLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(text.len());
        for (at, c) in body.char_indices() {
            if c.is_control() && !(self.colour && sets_colour(&body[at..])) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.push_str(&text[body.len()..]);
        self.to.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Whether `text` begins with a sequence that sets a colour, the only kind that the formatter itself writes.
fn sets_colour(text: &str) -> bool {
    text.strip_prefix("\u{1b}[")
        .is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    fn failure(texts: &[&'static str]) -> Failure {
        let (first, rest) = texts.split_first().expect("at least one");
        Failure { text: first, source: (!rest.is_empty()).then(|| Box::new(failure(rest))) }
    }

    #[test]
    fn a_chain_reads_from_what_was_tried_to_what_went_wrong() {
        assert_eq!(chain(&failure(&["cannot send"])).to_string(), "cannot send");
        let error = failure(&["cannot send", "cannot connect", "connection refused"]);
        assert_eq!(chain(&error).to_string(), "cannot send: cannot connect: connection refused");
    }

    #[test]
    fn a_chain_does_not_repeat_what_was_quoted() {
        let error = failure(&["cannot send: refused", "refused", "os error 111"]);
        assert_eq!(chain(&error).to_string(), "cannot send: refused: os error 111");
    }

    #[test]
    fn text_from_outside_cannot_begin_a_log_line() {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        for colour in [false, true] {
            let sink = Sink::default();
            let writer = sink.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(colour)
                .with_writer(WholeLines { make: move || writer.clone(), colour })
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                let outside = "refused\r\n2026-01-01 ERROR forged\u{1b}[2J\u{9b}2J";
                tracing::warn!(answer = %outside, "failed with {outside}");
                tracing::info!("next");
            });
            let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<&str> = written.lines().collect();
            assert_eq!(lines.len(), 2, "{written}");
            assert!(lines[0].contains("refused\\r\\n2026-01-01 ERROR forged"), "{written}");
            assert!(lines[1].ends_with("next"), "{written}");
            assert!(!written.contains("\u{1b}[2J") && !written.contains('\u{9b}'), "{written:?}");
            assert_eq!(written.contains("\u{1b}[33m"), colour, "warnings are yellow only where colour shows");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = init(LogFormat::Text, "a=b=c", false).expect_err("not a filter");
        assert!(error.to_string().contains("a=b=c"));
    }
}
