//! What a snapshot promises.

use proptest::prelude::*;

use super::*;
use crate::domain::id::ProductId;
use crate::matching::{Candidate, Placement};

const STAMP: Stamp = Stamp { tenant: Uuid::from_u128(7), sequence: 42, event: Uuid::from_u128(9) };

const TEXTS: [&str; 12] = [
    "App crashes when I export to PDF",
    "crash on PDF export",
    "I cannot log in since the last update",
    "sign in fails after the update, error E1234",
    "My invoice shows the wrong VAT rate",
    "wrong VAT rate on my invoices",
    "Pictures are not uploading to the gallery",
    "uploading photos to the gallery does not work",
    "Calendar sync is slow on Android",
    "Crash on JDK 13 at startup",
    "Hello",
    "",
];

const TRACE: &str = "It broke.\n\njava.lang.IllegalStateException: no such thing\n\tat com.example.app.Store.save(Store.java:12)\n\
    \tat com.example.app.Main.run(Main.java:7)\n\tat com.example.app.Main.main(Main.java:3)\n";

fn report(n: u8) -> ReportId {
    ReportId::from_uuid(Uuid::from_u128(u128::from(n)))
}

fn cluster(n: u8) -> ClusterId {
    ClusterId::from_uuid(Uuid::from_u128(1_000 + u128::from(n)))
}

/// Something that happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Insert { report: u8, cluster: u8, text: usize, number: u8, by_person: bool, extra: u8 },
    Remove(u8),
    RemoveCluster(u8),
    SetApart(u8, u8),
    ClearApart(u8, u8),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let insert = (0..40_u8, 0..6_u8, 0..TEXTS.len(), 0..30_u8, any::<bool>(), 0..8_u8).prop_map(
        |(report, cluster, text, number, by_person, extra)| Step::Insert {
            report,
            cluster,
            text,
            number,
            by_person,
            extra,
        },
    );
    let step = prop_oneof![
        12 => insert,
        2 => (0..40_u8).prop_map(Step::Remove),
        1 => (0..6_u8).prop_map(Step::RemoveCluster),
        2 => (0..40_u8, 0..6_u8).prop_map(|(report, cluster)| Step::SetApart(report, cluster)),
        1 => (0..40_u8, 0..6_u8).prop_map(|(report, cluster)| Step::ClearApart(report, cluster)),
    ];
    prop::collection::vec(step, 0..most)
}

fn features(text: usize, number: u8, extra: u8) -> Features {
    let title = if number > 20 { format!("{} word{number}", TEXTS[text]) } else { TEXTS[text].to_owned() };
    let product = (extra & 1 == 1).then(|| ProductId::from_uuid(Uuid::from_u128(u128::from(extra))));
    let fingerprint = (extra == 2).then_some("print");
    let body = if extra & 4 == 4 { TRACE } else { "" };
    let features = Features::of(&Text { product, fingerprint, title: &title, body });
    if number.is_multiple_of(3) { features.arrived(1_700_000_000 + i64::from(number) * 86_400) } else { features }
}

fn happen(index: &mut Index, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Insert { report: number, cluster: home, text, number: of, by_person, extra } => {
                index.insert(report(number), cluster(home), by_person, &features(text, of, extra));
            }
            Step::Remove(number) => index.remove_report(report(number)),
            Step::RemoveCluster(number) => index.remove_cluster(cluster(number)),
            Step::SetApart(number, from) => index.set_apart(report(number), cluster(from)),
            Step::ClearApart(number, from) => index.clear_apart(report(number), cluster(from)),
        }
    }
}

fn answers(index: &Index) -> Vec<(Placement, Vec<Candidate>)> {
    let texts = (0..TEXTS.len()).flat_map(|text| [0, 1, 2, 4].map(|extra| features(text, 22, extra)));
    texts.map(|features| index.place_among(&features, 10)).collect()
}

fn kept(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.snapshot(&STAMP, &mut bytes).expect("memory can be written");
    bytes
}

fn again(bytes: &[u8]) -> Result<Index, SnapshotError> {
    Index::restore(Policy::default(), bytes).map(|(index, stamp)| {
        assert_eq!(stamp, STAMP);
        index
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_that_was_restored_answers_like_the_original_and_goes_on_like_it(
        before in steps(80), after in steps(30),
    ) {
        let mut original = Index::new(Policy::default());
        happen(&mut original, &before);
        let mut restored = again(&kept(&original)).expect("it was written just now");
        prop_assert_eq!(answers(&original), answers(&restored));
        prop_assert_eq!(original.report_count(), restored.report_count());
        prop_assert_eq!(original.cluster_count(), restored.cluster_count());
        prop_assert_eq!(kept(&restored).len(), kept(&original).len());
        happen(&mut original, &after);
        happen(&mut restored, &after);
        prop_assert_eq!(answers(&original), answers(&restored));
        prop_assert_eq!(original.take_stale(), restored.take_stale());
        // Nothing is left behind that one has and the other has not.
        for index in [&mut original, &mut restored] {
            (0..40).for_each(|number| index.remove_report(report(number)));
            prop_assert_eq!((index.report_count(), index.cluster_count()), (0, 0));
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic_or_another_index(
        before in steps(40), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>(),
    ) {
        let mut index = Index::new(Policy::default());
        happen(&mut index, &before);
        let bytes = kept(&index);
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(again(&flipped).is_err());
        prop_assert!(again(&bytes[..cut.index(bytes.len())]).is_err());
        let mut longer = bytes[..bytes.len() - 8].to_vec();
        longer.extend_from_slice(&bytes[12..]);
        prop_assert!(again(&longer).is_err());
    }

    #[test]
    fn any_bytes_that_pass_for_frames_are_an_error_and_never_a_panic(
        before in steps(40), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        // What somebody else wrote with all checksums right: the content is checked as well.
        let mut index = Index::new(Policy::default());
        happen(&mut index, &before);
        let bytes = kept(&index);
        let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        let mut content = bytes[20..20 + length].to_vec();
        let at = at.index(content.len());
        content[at] = byte;
        let mut forged = bytes[..12].to_vec();
        let mut out = Out::new(&mut forged);
        out.bytes(&content).expect("memory can be written");
        out.end().expect("memory can be written");
        // It may be a snapshot of another index, which is then one that can be asked.
        if let Ok((index, _)) = Index::restore(Policy::default(), &forged[..]) {
            answers(&index);
        }
    }
}

#[test]
fn what_is_no_snapshot_or_of_another_version_is_told_apart() {
    let mut bytes = kept(&Index::new(Policy::default()));
    assert!(matches!(again(b""), Err(SnapshotError::Unreadable(_))));
    assert!(matches!(again(b"SQLite format 3\0"), Err(SnapshotError::Foreign)));
    bytes[8] ^= 1;
    assert!(matches!(again(&bytes), Err(SnapshotError::OtherVersion)));
}

#[test]
fn a_snapshot_of_texts_that_were_read_otherwise_is_of_another_version() {
    let mut bytes = kept(&Index::new(Policy::default()));
    let content = bytes.split_off(12);
    let mut content = content[8..content.len() - 8].to_vec();
    content[0] ^= 1;
    let mut out = Out::new(&mut bytes);
    out.bytes(&content).expect("memory can be written");
    out.end().expect("memory can be written");
    assert!(matches!(again(&bytes), Err(SnapshotError::OtherVersion)));
}

#[test]
fn an_index_of_many_lists_and_common_words_is_restored_too() {
    let mut index = Index::new(Policy::default());
    for number in 0..7_000_u128 {
        let title = format!("common words about part{} and thing{}", number % 900, number * 7 % 1_300);
        let features = Features::of(&Text { product: None, fingerprint: None, title: &title, body: "" });
        let (report, cluster) = (ReportId::from_uuid(Uuid::from_u128(number)), Uuid::from_u128(1 << 64 | number));
        index.insert(report, ClusterId::from_uuid(cluster), false, &features);
    }
    (0..7_000).step_by(3).for_each(|number| index.remove_report(ReportId::from_uuid(Uuid::from_u128(number))));
    let restored = again(&kept(&index)).expect("it was written just now");
    for number in (0..900).step_by(50) {
        let title = format!("words about part{number}");
        let features = Features::of(&Text { product: None, fingerprint: None, title: &title, body: "" });
        assert_eq!(index.place_among(&features, 50), restored.place_among(&features, 50));
    }
}
