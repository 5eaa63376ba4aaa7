//! The exact scan: every query is held against every text by BM25, without an index that could miss anything.

use std::collections::HashMap;

use super::{FIRST, Figures, SCANS, Task, ask};

/// BM25's saturation and length normalisation, as they are set everywhere.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// Words by number, and what is known about each text.
#[derive(Default)]
struct Scan {
    words: HashMap<String, u32>,
    /// In how many texts each word is.
    frequencies: Vec<u32>,
    /// Each text's words in order, with how often it has them.
    texts: Vec<Vec<(u32, u16)>>,
    lengths: Vec<u32>,
}

impl Scan {
    fn add(&mut self, title: &str, body: &str) {
        let mut counts: HashMap<u32, u16> = HashMap::new();
        let mut length = 0;
        for word in words(title).chain(words(body)) {
            let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
            let number = *self.words.entry(word).or_insert(next);
            *counts.entry(number).or_default() += 1;
            length += 1;
        }
        self.frequencies.resize(self.words.len(), 0);
        for &word in counts.keys() {
            self.frequencies[word as usize] += 1;
        }
        let mut text: Vec<(u32, u16)> = counts.into_iter().collect();
        text.sort_unstable();
        self.texts.push(text);
        self.lengths.push(length);
    }

    fn search(&self, title: &str, body: &str) -> Vec<u64> {
        let count = self.texts.len() as f32;
        let average = self.lengths.iter().map(|&length| length as f32).sum::<f32>() / count.max(1.0);
        let mut weights = vec![0.0; self.frequencies.len()];
        for &word in words(title).chain(words(body)).filter_map(|word| self.words.get(&word)) {
            let frequency = self.frequencies[word as usize] as f32;
            weights[word as usize] = ((count - frequency + 0.5) / (frequency + 0.5)).ln_1p();
        }
        let score = |(text, &length): (&Vec<(u32, u16)>, &u32)| {
            let norm = K1 * (1.0 - B + B * length as f32 / average);
            let of = |&(word, times): &(u32, u16)| {
                weights[word as usize] * f32::from(times) * (K1 + 1.0) / (f32::from(times) + norm)
            };
            text.iter().map(of).sum::<f32>()
        };
        let mut scores: Vec<(f32, u64)> = self.texts.iter().zip(&self.lengths).map(score).zip(0..).collect();
        let first = FIRST.min(scores.len());
        if first < scores.len() {
            scores.select_nth_unstable_by(first, |a, b| b.0.total_cmp(&a.0));
        }
        scores.truncate(first);
        scores.into_iter().map(|(_, text)| text).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

pub(super) fn measure(task: &Task) -> Figures {
    let mut scan = Scan::default();
    task.texts().for_each(|(title, body)| scan.add(&title, &body));
    let (latencies, cpu, hits) = ask(task, task.queries.min(SCANS), |title, body| scan.search(title, body));
    Figures { name: "exact_scan", latencies, cpu, hits, bytes_per_cluster: None, visible_after: None, filled_in: None }
}
