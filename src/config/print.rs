//! Settings written out: the ones in force, as TOML without secrets, and the ones there are, as a JSON Schema.

use serde_json::{Map, Value, json};

use super::Config;
use super::load::LoadOptions;

impl Config {
    /// The settings in force as TOML, with a mark in place of each secret. What is not set is left out.
    pub fn print_redacted(&self) -> String {
        let mut out = String::new();
        if let Value::Object(settings) = to_json(self) {
            write_table(&mut out, "", &settings);
        }
        out
    }

    /// What may stand in a configuration file, as a JSON Schema with the defaults filled in, for editors and checkers.
    /// No key is required, because each may come from another source.
    pub fn schema() -> Value {
        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
        let defaults =
            Config::load(LoadOptions::default()).expect("the embedded defaults are whole; a test loads them");
        finish_schema(&mut schema, &to_json(&defaults));
        schema
    }
}

fn to_json(config: &Config) -> Value {
    serde_json::to_value(config).expect("settings are text, numbers, lists and tables with text for keys")
}

/// Plain values first: in TOML, what follows a `[section]` belongs to it.
fn write_table(out: &mut String, name: &str, table: &Map<String, Value>) {
    if !name.is_empty() {
        out.push_str(&format!("\n[{name}]\n"));
    }
    for (key, value) in table {
        if !matches!(value, Value::Object(_) | Value::Null) {
            out.push_str(&format!("{key} = {}\n", inline(value)));
        }
    }
    for (key, value) in table {
        if let Value::Object(inner) = value {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            write_table(out, &name, inner);
        }
    }
}

/// JSON's text, numbers, switches and lists are also TOML's, but for one character.
fn inline(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007F")
}

/// Adds defaults and `<key>_file` beside each secret, and takes `required` away.
fn finish_schema(schema: &mut Value, default: &Value) {
    let Value::Object(schema) = schema else { return };
    schema.remove("required");
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        if !default.is_null() {
            schema.insert("default".to_owned(), default.clone());
        }
        return;
    };
    let secrets: Vec<String> =
        properties.iter().filter(|(_, property)| property["writeOnly"] == true).map(|(key, _)| key.clone()).collect();
    for (key, property) in properties.iter_mut() {
        finish_schema(property, &default[key]);
    }
    for key in secrets {
        let description = format!("A file that holds `{key}`, instead of `{key}` itself.");
        properties.insert(format!("{key}_file"), json!({ "type": "string", "description": description }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConfigFile;
    use super::super::load::DEFAULTS;
    use super::*;

    fn with(overrides: &[&str]) -> Config {
        let overrides = overrides.iter().map(|flag| flag.to_string()).collect();
        Config::load(LoadOptions { overrides, ..LoadOptions::default() }).unwrap()
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let config = with(&[
            "email.from=\"Tab\there\" <a@b.c>",
            "grpc.tls.cert=/c",
            "grpc.tls.key=/k",
            "webhook.allow_networks=10.0.0.0/8",
        ]);
        let printed = config.print_redacted();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("printed.toml");
        std::fs::write(&path, &printed).unwrap();
        let again = Config::load(LoadOptions { file: ConfigFile::Required(path), ..LoadOptions::default() }).unwrap();
        assert_eq!(again.print_redacted(), printed);
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }

    #[test]
    fn secrets_are_neither_printed_nor_debugged() {
        let config = with(&[
            "store.kind=postgres",
            "store.url=postgres://u:271828@db/h",
            "email.password=271828",
            "embedder.api_key=271828",
        ]);
        let printed = config.print_redacted();
        assert!(printed.contains("url = \"[redacted]\"") && printed.contains("password = \"[redacted]\""), "{printed}");
        assert!(printed.contains("api_key = \"[redacted]\""), "{printed}");
        assert!(!printed.contains("271828") && !format!("{config:?}").contains("271828"));
        assert!(!with(&[]).print_redacted().contains("redacted"), "nothing is hidden where nothing is set");
    }

    #[test]
    fn the_schema_knows_every_key_of_the_manual_and_no_other() {
        let schema = Config::schema();
        let mut section = String::new();
        let mut seen = 0;
        for line in DEFAULTS.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = format!("/properties/{}", name.trim_end_matches(']'));
            }
            let setting = line.strip_prefix('#').unwrap_or(line);
            let Some((key, _)) = setting.split_once(" = ") else { continue };
            if !key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                continue;
            }
            assert!(schema.pointer(&format!("{section}/properties/{key}")).is_some(), "{section} {key}");
            seen += 1;
        }
        let sections = schema["properties"].as_object().unwrap();
        let keys = |section: &Value| section.get("properties").and_then(Value::as_object).map_or(1, Map::len);
        // Three secrets have a `_file` twin, which the manual mentions in words.
        assert_eq!(seen + 3, sections.values().map(keys).sum::<usize>());
    }

    #[test]
    fn the_schema_refuses_typos_and_shows_defaults() {
        let schema = Config::schema();
        assert_eq!(schema.pointer("/additionalProperties"), Some(&json!(false)));
        assert_eq!(schema.pointer("/properties/grpc/additionalProperties"), Some(&json!(false)));
        assert_eq!(schema.pointer("/properties/grpc/properties/request_timeout/default"), Some(&json!("30s")));
        assert_eq!(schema.pointer("/properties/store/properties/kind/default"), Some(&json!("sqlite")));
        assert_eq!(schema.pointer("/properties/store/properties/url_file/type"), Some(&json!("string")));
        assert!(schema.pointer("/properties/email/properties/password/description").is_some());
        assert!(!schema.to_string().contains("\"required\""));
    }
}
