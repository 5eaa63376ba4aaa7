//! Any bytes are read, compared and placed without a panic, and what was said twice in the same words is found again.

#![no_main]

use hearback::domain::id::{ClusterId, ReportId};
use hearback::matching::{Decision, Features, Index, Policy, Text};
use libfuzzer_sys::fuzz_target;

fn read(title: &str, body: &str) -> Features {
    Features::of(&Text { product: None, fingerprint: None, title, body })
}

// The first NUL parts the title from the body, the second one text from another.
fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\0');
    let [title, body, other] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let features = read(title, body);
    assert_eq!(features.signature(), read(title, body).signature(), "a text is read the same each time");

    let mut index = Index::new(Policy::default());
    let (report, cluster) = (ReportId::new(), ClusterId::new());
    index.insert(report, cluster, false, &features);
    if let Decision::Attach { cluster: found, .. } = index.place(&features).decision {
        assert_eq!(found, cluster, "there is no other cluster");
    }
    let (placement, candidates) = index.place_among(&read("", other), 10);
    assert!((0.0..=1.0).contains(&placement.score), "a score is a probability: {}", placement.score);
    assert!(candidates.len() <= 1, "there is one cluster");

    index.remove_report(report);
    assert_eq!(index.place(&features).decision, Decision::New, "what is gone is not found");
});
