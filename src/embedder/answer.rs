//! Reads what an endpoint says, and believes none of it before it was looked at.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// The longest word of an endpoint that is passed on.
const MOST_OF_CODE: usize = 64;

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    /// Where its text stood in the question; in the order of the question if it is not said.
    index: Option<usize>,
    embedding: Numbers,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    Plain(Vec<f32>),
    /// Four bytes each, the lowest first.
    Base64(String),
}

/// The vectors of an answer in the order of the texts, or what is wrong with it.
pub(super) fn vectors(body: &[u8], count: usize, dimensions: Option<u16>) -> Result<Vec<Vec<f32>>, String> {
    // The parser's own words may quote the answer.
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("it is not the JSON that was asked for, at byte {} of it", error.column()))?;
    if answer.data.len() != count {
        return Err(format!("it has {} vectors for {count} texts", answer.data.len()));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for (place, row) in answer.data.into_iter().enumerate() {
        let index = row.index.unwrap_or(place);
        let slot = vectors.get_mut(index).ok_or_else(|| format!("it has a vector for text {index} of {count}"))?;
        if slot.is_some() {
            return Err(format!("it has two vectors for text {index}"));
        }
        *slot = Some(match row.embedding {
            Numbers::Plain(numbers) => numbers,
            Numbers::Base64(text) => decoded(&text)?,
        });
    }
    // As many places as rows, and none taken twice.
    let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
    let length = vectors.first().map_or(0, Vec::len);
    if length == 0 {
        return Err("it has a vector without numbers".to_owned());
    }
    if let Some(other) = vectors.iter().map(Vec::len).find(|&other| other != length) {
        return Err(format!("it has vectors of {length} and of {other} numbers"));
    }
    if let Some(wanted) = dimensions.map(usize::from).filter(|&wanted| wanted != length) {
        return Err(format!("it has vectors of {length} numbers, and {wanted} were asked for"));
    }
    if !vectors.iter().flatten().all(|number| number.is_finite()) {
        return Err("it has a number that is not finite".to_owned());
    }
    Ok(vectors)
}

fn decoded(text: &str) -> Result<Vec<f32>, String> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| "it has a vector that is not base64".to_owned())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("it has a vector of base64 that is not of whole numbers".to_owned());
    }
    Ok(numbers.iter().map(|&four| f32::from_le_bytes(four)).collect())
}

/// The code of a refusal, if it is a plain word: a message might repeat the text that was sent.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let refusal: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = refusal.get("error")?;
    let word = ["code", "type"].into_iter().find_map(|key| error.get(key)?.as_str())?;
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    (is_plain && !word.is_empty() && word.len() <= MOST_OF_CODE).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, count: usize) -> Result<Vec<Vec<f32>>, String> {
        vectors(body.as_bytes(), count, None)
    }

    #[test]
    fn vectors_come_back_in_the_order_of_their_texts() {
        let body = r#"{"object":"list","data":[{"index":1,"embedding":[3,4.5]},{"index":0,"embedding":[1,2]}]}"#;
        assert_eq!(read(body, 2), Ok(vec![vec![1.0, 2.0], vec![3.0, 4.5]]));
        let without = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        assert_eq!(read(without, 2), Ok(vec![vec![1.0], vec![2.0]]));
    }

    #[test]
    fn base64_is_read_as_well() {
        let bytes: Vec<u8> = [0.5_f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let body = format!(r#"{{"data":[{{"index":0,"embedding":"{}"}}]}}"#, BASE64_STANDARD.encode(bytes));
        assert_eq!(read(&body, 1), Ok(vec![vec![0.5, -2.0]]));
        let not_finite = BASE64_STANDARD.encode(f32::NAN.to_le_bytes());
        for bad in ["!", "AAA=", "AAAAAAA=", &not_finite, ""] {
            assert!(read(&format!(r#"{{"data":[{{"index":0,"embedding":"{bad}"}}]}}"#), 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_answer_is_refused_with_its_fault() {
        for (body, fault) in [
            ("", "not the JSON"),
            ("<html>secret</html>", "not the JSON"),
            (r#"{"data":{}}"#, "not the JSON"),
            (r#"{"data":[{"index":0,"embedding":[1e99]},{"index":1,"embedding":[1]}]}"#, "not finite"),
            (r#"{"data":[{"index":0,"embedding":[null]},{"index":1,"embedding":[1]}]}"#, "not the JSON"),
            (r#"{"data":[]}"#, "0 vectors for 2 texts"),
            (r#"{"data":[{"index":0,"embedding":[1]}]}"#, "1 vectors for 2 texts"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, "two vectors"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#, "text 2 of 2"),
            (r#"{"data":[{"index":0,"embedding":[]},{"index":1,"embedding":[]}]}"#, "without numbers"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#, "of 1 and of 2"),
        ] {
            let said = read(body, 2).expect_err(body);
            assert!(said.contains(fault) && !said.contains("secret"), "{body}: {said}");
        }
        let body = br#"{"data":[{"index":0,"embedding":[1,2]}]}"#;
        assert!(vectors(body, 1, Some(3)).expect_err("other dimensions").contains("3 were asked for"));
    }

    #[test]
    fn only_a_plain_word_of_a_refusal_is_passed_on() {
        let code = |body: &str| error_code(body.as_bytes());
        assert_eq!(code(r#"{"error":{"message":"x","code":"model_not_found"}}"#).as_deref(), Some("model_not_found"));
        assert_eq!(
            code(r#"{"error":{"type":"invalid_request_error","code":null}}"#).as_deref(),
            Some("invalid_request_error")
        );
        for body in
            ["", "{}", r#"{"error":"no"}"#, r#"{"error":{"code":"I cannot read: my cat"}}"#, r#"{"error":{"code":""}}"#]
        {
            assert_eq!(code(body), None, "{body}");
        }
    }
}
