//! A file as rows: JSON lines or CSV, gzip or not. Memory holds one row at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

/// More than the largest report the API takes, in bytes: whatever is longer is not a report.
const LINE_MAX: u64 = 8 * 1024 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BOM: &[u8] = "\u{feff}".as_bytes();

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line.
    Jsonl,
    /// A line of headings, then records after RFC 4180; between fields a comma, a semicolon or a tab.
    Csv,
}

/// One row, or why it is none.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// The line it begins on, from 1.
    pub(super) number: u64,
    /// Its fields.
    pub(super) fields: Result<Map<String, Value>, String>,
}

/// An opened file.
pub(super) struct Input {
    rows: Rows,
    size: Option<u64>,
    bytes_read: Arc<AtomicU64>,
}

enum Rows {
    Jsonl {
        reader: Box<dyn BufRead + Send>,
        number: u64,
    },
    /// `line_offset` is what the reader's line lags behind: of CRLF it counts the second half with the next record.
    Csv {
        reader: Box<csv::Reader<Box<dyn BufRead + Send>>>,
        headings: Vec<String>,
        line_offset: u64,
    },
}

impl Input {
    /// Opens a file, or standard input for `None`.
    ///
    /// # Errors
    /// If it cannot be read, or has no usable line of headings.
    pub(super) fn open(file: Option<&Path>, format: Option<Format>) -> anyhow::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let (raw, size): (Box<dyn Read + Send>, _) = match file {
            None => (Box::new(io::stdin()), None),
            Some(path) => {
                let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
                let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
                (Box::new(file), size)
            }
        };
        let counted = Counted { inner: raw, bytes: Arc::clone(&bytes_read) };
        let rows = Rows::new(counted, format.or_else(|| file.and_then(format_of_name)))
            .with_context(|| format!("{} cannot be read", file.unwrap_or(Path::new("standard input")).display()))?;
        Ok(Self { rows, size, bytes_read })
    }

    /// The size of the file as it lies on disk, if it is one.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// How much of that was read so far.
    pub(super) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// The next row; `None` at the end. Blank lines are no rows.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        self.rows.next()
    }
}

impl Rows {
    fn new(raw: impl Read + Send + 'static, format: Option<Format>) -> anyhow::Result<Self> {
        let mut raw = BufReader::with_capacity(64 * 1024, raw);
        let mut reader: Box<dyn BufRead + Send> = if raw.fill_buf()?.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        if reader.fill_buf()?.starts_with(BOM) {
            reader.consume(BOM.len());
        }
        let first = reader.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace());
        let format = format.unwrap_or(if first == Some(&b'{') { Format::Jsonl } else { Format::Csv });
        match format {
            Format::Jsonl => Ok(Self::Jsonl { reader, number: 0 }),
            Format::Csv => {
                let begin = reader.fill_buf()?;
                let delimiter = delimiter_of(begin);
                let line_end = begin.iter().position(|&byte| byte == b'\n');
                let line_offset = u64::from(line_end.is_some_and(|at| begin[..at].ends_with(b"\r")));
                let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(reader);
                let headings: Vec<String> = reader
                    .headers()
                    .context("the first line has to name the fields")?
                    .iter()
                    .map(|heading| heading.trim().to_owned())
                    .collect();
                let mut seen = HashSet::new();
                if let Some(twice) = headings.iter().find(|heading| !seen.insert(heading.as_str())) {
                    anyhow::bail!("the first line names the field {twice:?} twice");
                }
                Ok(Self::Csv { reader: Box::new(reader), headings, line_offset })
            }
        }
    }

    fn next(&mut self) -> io::Result<Option<Row>> {
        match self {
            Self::Jsonl { reader, number } => loop {
                let mut line = Vec::new();
                if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                    return Ok(None);
                }
                *number += 1;
                let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_MAX;
                if !is_whole {
                    skip_line(reader)?;
                    let fields = Err(format!("is longer than {} MiB", LINE_MAX / 1024 / 1024));
                    return Ok(Some(Row { number: *number, fields }));
                }
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(Row { number: *number, fields: object(&line) }));
                }
            },
            Self::Csv { reader, headings, line_offset } => {
                let mut record = csv::ByteRecord::new();
                match reader.read_byte_record(&mut record) {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let number = record.position().map_or(0, csv::Position::line) + *line_offset;
                        let last = (reader.position().line() + *line_offset).saturating_sub(1);
                        let fields = named(headings, &record).map_err(|problem| match last {
                            // Texts may have line breaks in quotes. With a quote that nobody closed, all that follows is
                            // one text: whoever looks for those lines has to be told where they are.
                            last if last > number => {
                                format!("{problem}; it goes on to line {last}: is a quote left open?")
                            }
                            _ => problem,
                        });
                        Ok(Some(Row { number, fields }))
                    }
                    Err(error) => Err(io::Error::other(error)),
                }
            }
        }
    }
}

/// What stands between the fields: a comma, or what spreadsheets write where the comma is the decimal sign. Told by the
/// first line, whose headings rarely have any of them.
fn delimiter_of(begin: &[u8]) -> u8 {
    let first = begin.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let count = |wanted: u8| first.iter().filter(|byte| **byte == wanted).count();
    // Of several that are as frequent the last wins, so the comma stands there.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

fn named(headings: &[String], record: &csv::ByteRecord) -> Result<Map<String, Value>, String> {
    if record.len() != headings.len() {
        return Err(format!("has {} fields, but the first line names {}", record.len(), headings.len()));
    }
    headings
        .iter()
        .zip(record)
        .map(|(heading, value)| match std::str::from_utf8(value) {
            Ok(value) => Ok((heading.clone(), Value::from(value))),
            Err(_) => Err(format!("{heading} is not UTF-8")),
        })
        .collect()
}

fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let chunk = reader.fill_buf()?;
        let newline = chunk.iter().position(|&byte| byte == b'\n');
        let taken = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(taken);
        if newline.is_some() || taken == 0 {
            return Ok(());
        }
    }
}

struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The name without the endings that say how it is written.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"].into_iter().find_map(|ending| name.strip_suffix(ending));
    stem.unwrap_or(name).to_owned()
}

fn format_of_name(file: &Path) -> Option<Format> {
    let name = file.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "csv" | "tsv" => Some(Format::Csv),
        _ => None,
    }
}

/// A source's name out of a file's: `Old Tickets.csv.gz` is `old-tickets`.
pub(super) fn source_name(file: &Path) -> String {
    let stem = stem(file);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let name: String = stem.chars().map(|c| if allowed(c) { c } else { '-' }).take(64).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "import".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    fn rows(bytes: &[u8], format: Option<Format>) -> Vec<(u64, Result<Value, String>)> {
        let mut rows = Rows::new(io::Cursor::new(bytes.to_vec()), format).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            all.push((row.number, row.fields.map(Value::Object)));
        }
        all
    }

    #[test]
    fn json_lines_keep_their_numbers_past_blank_and_broken_ones() {
        let found = rows(b"\xef\xbb\xbf{\"id\": 1}\n\n[2]\n{\"id\"\n{\"id\": \"\xff\"}\n{\"id\": 3}", None);
        let numbers: Vec<_> = found.iter().map(|(number, fields)| (*number, fields.is_ok())).collect();
        assert_eq!(numbers, [(1, true), (3, false), (4, false), (5, false), (6, true)]);
        assert_eq!(found[4].1, Ok(json!({ "id": 3 })));
    }

    #[test]
    fn csv_records_know_the_line_they_begin_on() {
        let found = rows(b"Id,Body\n1,\"two\nlines\"\n2,x\n3\n", None);
        assert_eq!(found[0], (2, Ok(json!({ "Id": "1", "Body": "two\nlines" }))));
        assert_eq!(found[1].0, 4);
        assert_eq!(found[2], (5, Err("has 1 fields, but the first line names 2".to_owned())));
    }

    #[test]
    fn a_quote_left_open_is_suspected_where_lines_go_missing() {
        let found = rows(b"Id,Body\n1,\"two\n2,x\n3,y\n", None);
        let problem = "has 2 fields, but the first line names 3; it goes on to line 4: is a quote left open?";
        assert_eq!(found, [(2, Ok(json!({ "Id": "1", "Body": "two\n2,x\n3,y\n" })))]);
        let found = rows(b"Id,Body,More\n1,\"two\n2,x,x\n3,y,y\n", None);
        assert_eq!(found, [(2, Err(problem.to_owned()))]);
    }

    #[test]
    fn what_spreadsheets_write_between_fields_is_told_by_the_headings() {
        for text in ["id,body\n1,\"a;b\tc\"\n", "id;body\n1;\"a;b\tc\"\n", "id\tbody\r\n1\t\"a;b\tc\"\r\n"] {
            assert_eq!(rows(text.as_bytes(), None), [(2, Ok(json!({ "id": "1", "body": "a;b\tc" })))], "{text:?}");
        }
    }

    #[test]
    fn gzip_is_told_by_its_content() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"id\": 1}\n").unwrap();
        assert_eq!(rows(&packed.finish().unwrap(), None), [(1, Ok(json!({ "id": 1 })))]);
    }

    #[test]
    fn a_heading_that_comes_twice_is_refused() {
        assert!(Rows::new(io::Cursor::new(b"id,id\n1,2\n".to_vec()), None).is_err());
    }

    #[test]
    fn an_endless_line_is_refused_and_the_next_one_read() {
        let mut bytes = vec![b'{'; usize::try_from(LINE_MAX).unwrap() + 10];
        bytes.extend_from_slice(b"\n{}\n");
        let found = rows(&bytes, Some(Format::Jsonl));
        assert_eq!(found.len(), 2);
        assert!(found[0].1.is_err());
        assert_eq!(found[1], (2, Ok(json!({}))));
    }

    #[test]
    fn a_source_is_named_after_its_file() {
        for (file, name) in
            [("a/Old Tickets.csv.gz", "old-tickets"), ("titanium.jsonl.gz", "titanium"), ("-", "import")]
        {
            assert_eq!(source_name(Path::new(file)), name);
        }
    }
}
