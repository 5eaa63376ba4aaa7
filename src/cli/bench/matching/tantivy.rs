//! The same texts in tantivy, as a team would use it: BM25 over title and body, in memory.

use std::time::Instant;

use anyhow::Context as _;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, TEXT, Value as _};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term, doc};

use super::{FIRST, Figures, NEWCOMERS, Task, ask, median};

/// What its writer may hold before it writes a segment.
const WRITER_BYTES: usize = 256 << 20;

struct Tantivy {
    writer: IndexWriter,
    reader: IndexReader,
    index: Index,
    fields: [Field; 2],
    number: Field,
}

impl Tantivy {
    fn build(task: &Task) -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let fields = ["title", "body"].map(|name| schema.add_text_field(name, TEXT));
        let number = schema.add_u64_field("number", STORED | FAST | INDEXED);
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        for (cluster, (title, body)) in (0_u64..).zip(task.texts()) {
            writer.add_document(doc!(fields[0] => title, fields[1] => body, number => cluster))?;
        }
        writer.commit()?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { writer, reader, index, fields, number })
    }

    /// Any of the query's words, in the title or in the body.
    fn query(&self, title: &str, body: &str) -> tantivy::Result<BooleanQuery> {
        let mut tokenizer = self.index.tokenizer_for_field(self.fields[0])?;
        let mut words = Vec::new();
        for text in [title, body] {
            tokenizer.token_stream(text).process(&mut |token| words.push(token.text.clone()));
        }
        words.sort_unstable();
        words.dedup();
        let clause = |(field, word): (Field, &String)| -> (Occur, Box<dyn Query>) {
            let term = Term::from_field_text(field, word);
            (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)))
        };
        let pairs = self.fields.iter().flat_map(|&field| words.iter().map(move |word| (field, word)));
        Ok(BooleanQuery::new(pairs.map(clause).collect()))
    }

    fn search(&self, title: &str, body: &str) -> tantivy::Result<Vec<u64>> {
        let searcher = self.reader.searcher();
        let query = self.query(title, body)?;
        let mut found = Vec::with_capacity(FIRST);
        // Counting as well keeps it from skipping, which pays for queries of a few words and costs with a hundred.
        let (_, first) = searcher.search(&query, &(Count, TopDocs::with_limit(FIRST).order_by_score()))?;
        for (_, address) in first {
            let document: TantivyDocument = searcher.doc(address)?;
            found.extend(document.get_first(self.number).and_then(|value| value.as_u64()));
        }
        Ok(found)
    }
}

pub(super) fn measure(task: &Task) -> anyhow::Result<Figures> {
    let mut tantivy = Tantivy::build(task)?;
    let mut first_error = None;
    let (latencies, cpu, hits) = ask(task, task.queries, |title, body| {
        tantivy.search(title, body).unwrap_or_else(|error| {
            first_error.get_or_insert(error);
            Vec::new()
        })
    });
    if let Some(error) = first_error {
        return Err(error.into());
    }
    let mut visible = Vec::new();
    for number in 0..NEWCOMERS {
        let [first, second] = task.newcomer(number);
        let begin = Instant::now();
        let [title, body] = tantivy.fields;
        tantivy
            .writer
            .add_document(doc!(title => first.0, body => first.1, tantivy.number => task.clusters + number))?;
        tantivy.writer.commit()?;
        tantivy.reader.reload()?;
        let found = tantivy.search(&second.0, &second.1)?;
        visible.push(begin.elapsed());
        found.contains(&(task.clusters + number)).then_some(()).context("tantivy does not find a new report")?;
    }
    Ok(Figures {
        name: "tantivy",
        latencies,
        cpu,
        hits,
        bytes_per_cluster: None,
        visible_after: median(visible),
        filled_in: None,
    })
}
