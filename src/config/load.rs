//! Where settings come from, and which source wins.
//!
//! Each source becomes one layer of plain values; figment merges the layers and remembers which one each value came
//! from. The environment and flags hold text only, so numbers and switches are read from text where the key wants them:
//! a password `12345` stays a password.
//!
//! A secret may be given as `<key>_file`. Within one source that is the secret itself, only stored elsewhere, so a later
//! `password_file` replaces an earlier `password` and the other way round.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Config;

/// Every key with its default and its comment.
pub(super) const DEFAULTS: &str = include_str!("default.toml");

/// What a variable must begin with to be ours.
const ENVIRONMENT_PREFIX: &str = "HEARBACK__";

/// Settings that are never shown, as section and key.
const SECRETS: [(&str, &str); 3] = [("store", "url"), ("embedder", "api_key"), ("email", "password")];

/// Stands in the place of a secret until its file is read.
const FILE_MARK: &str = "<file>";

/// Where to look for settings. The default is: nowhere but the defaults.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The TOML file.
    pub file: ConfigFile,
    /// Variables, ours and others'.
    pub environment: Vec<(String, String)>,
    /// Flags, as `section.key=value`.
    pub overrides: Vec<String>,
}

/// The TOML file with an operator's settings.
#[derive(Clone, Debug, Default)]
pub enum ConfigFile {
    /// No file is read.
    #[default]
    None,
    /// Read if it is there.
    IfPresent(PathBuf),
    /// Its absence is an error.
    Required(PathBuf),
}

impl LoadOptions {
    /// What a process started by hand reads: the file named (else `./hearback.toml` if there is one), the environment,
    /// and `section.key=value` flags.
    pub fn from_process(file: Option<PathBuf>, overrides: Vec<String>) -> Self {
        let file = file.map_or_else(|| ConfigFile::IfPresent(PathBuf::from("hearback.toml")), ConfigFile::Required);
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        Self { file, environment, overrides }
    }
}

/// Why settings could not be read. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or not ours to read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}, line {line}: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A key or its value is wrong.
    #[error("{key}: {message} (from {origin})")]
    Value {
        /// The setting, as `section.key`.
        key: String,
        /// The file, variable or flag it came from.
        origin: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file that holds a secret is not there, or not ours to read.
    #[error("{key}: cannot read {} (from {origin})", path.display())]
    SecretUnreadable {
        /// The setting, as `section.key_file`.
        key: String,
        /// The file, variable or flag that named it.
        origin: String,
        /// The file with the secret.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its key and where it came from.
    pub fn load(options: LoadOptions) -> Result<Self, ConfigError> {
        let mut layers = vec![Layer::from_toml(Origin::Defaults, DEFAULTS)?];
        if let Some((path, text)) = read_file(&options.file)? {
            layers.push(Layer::from_toml(Origin::File(path), &text)?);
        }
        layers.push(Layer::from_environment(&options.environment)?);
        for flag in &options.overrides {
            layers.push(Layer::from_flag(flag)?);
        }
        for layer in &mut layers {
            layer.mark_secret_files()?;
        }
        forget_other_kinds(&mut layers);

        let mut figment = layers.into_iter().fold(Figment::new(), Figment::merge);
        figment = read_secrets(figment)?;
        figment = place_database(figment);
        figment.extract_lossy().map_err(|error| explain(&figment, error))
    }
}

/// One source and what it says.
struct Layer {
    origin: Origin,
    values: Dict,
}

#[derive(Clone, Debug)]
enum Origin {
    Defaults,
    File(PathBuf),
    Environment,
    Flag,
    Secret(PathBuf),
}

impl Origin {
    /// How an operator finds the setting again.
    fn describe(&self, key: &str) -> String {
        match self {
            Self::Defaults => "the defaults".to_owned(),
            Self::File(path) | Self::Secret(path) => path.display().to_string(),
            Self::Environment => {
                format!("the environment, {ENVIRONMENT_PREFIX}{}", key.to_uppercase().replace('.', "__"))
            }
            Self::Flag => format!("the flag {key}=…"),
        }
    }
}

impl Layer {
    fn from_toml(origin: Origin, text: &str) -> Result<Self, ConfigError> {
        // The parser's own rendering quotes the line, which may hold a secret.
        let values = Toml::from_str::<Dict>(text).map_err(|error| ConfigError::Syntax {
            origin: origin.describe(""),
            line: 1 + error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()),
            message: error.message().to_owned(),
        })?;
        Ok(Self { origin, values })
    }

    fn from_environment(variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut values = Dict::new();
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = key.to_lowercase().replace("__", ".");
                insert(&mut values, &key, value).map_err(|message| ConfigError::Value {
                    key,
                    origin: format!("the environment, {name}"),
                    message,
                })?;
            }
        }
        Ok(Self { origin: Origin::Environment, values })
    }

    fn from_flag(flag: &str) -> Result<Self, ConfigError> {
        let mut values = Dict::new();
        // Without `=` the whole flag may be a misplaced value, so it is not repeated.
        let (key, value) = flag.split_once('=').ok_or_else(|| ConfigError::Value {
            key: "flag".to_owned(),
            origin: "the command line".to_owned(),
            message: "expected section.key=value".to_owned(),
        })?;
        let key = key.trim();
        insert(&mut values, key, value).map_err(|message| ConfigError::Value {
            key: key.to_owned(),
            origin: Origin::Flag.describe(key),
            message,
        })?;
        Ok(Self { origin: Origin::Flag, values })
    }

    /// Turns `<key>_file` into a mark in the place of `<key>`.
    fn mark_secret_files(&mut self) -> Result<(), ConfigError> {
        for (section, key) in SECRETS {
            let Some(Value::Dict(_, values)) = self.values.get_mut(section) else { continue };
            let Some(path) = values.remove(&format!("{key}_file")) else { continue };
            if values.contains_key(key) {
                return Err(self.error(section, key, &format!("set {key} or {key}_file, not both")));
            }
            values.insert(key.to_owned(), Value::from(Dict::from([(FILE_MARK.to_owned(), path)])));
        }
        Ok(())
    }

    fn error(&self, section: &str, key: &str, message: &str) -> ConfigError {
        let key = format!("{section}.{key}");
        ConfigError::Value { origin: self.origin.describe(&key), key, message: message.to_owned() }
    }

    fn store_kind(&self) -> Option<&str> {
        self.values.get("store")?.as_dict()?.get("kind")?.as_str()
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let origin = self.origin.clone();
        Metadata::named("configuration")
            .interpolater(move |_: &Profile, keys: &[&str]| origin.describe(&keys.join(".")))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn read_file(file: &ConfigFile) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let (path, required) = match file {
        ConfigFile::None => return Ok(None),
        ConfigFile::IfPresent(path) => (path, false),
        ConfigFile::Required(path) => (path, true),
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.clone(), text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { path: path.clone(), source }),
    }
}

/// Puts `value` at `section.key` of `values`.
fn insert(values: &mut Dict, key: &str, value: &str) -> Result<(), String> {
    let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
    if head.is_empty() {
        return Err("a part of the name is empty".to_owned());
    }
    let Some(rest) = rest else {
        values.insert(head.to_owned(), Value::from(value));
        return Ok(());
    };
    match values.entry(head.to_owned()).or_insert_with(|| Value::from(Dict::new())) {
        Value::Dict(_, section) => insert(section, rest, value),
        _ => Err(format!("{head} is set as a whole in the same place")),
    }
}

/// Drops `[store]` settings made for another kind than the last source to name one wants.
fn forget_other_kinds(layers: &mut [Layer]) {
    let Some(last) = layers.iter().rposition(|layer| layer.store_kind().is_some()) else { return };
    let kind = layers[last].store_kind().map(str::to_owned);
    let Some(other) =
        layers[..last].iter().rposition(|layer| layer.store_kind().is_some_and(|k| Some(k) != kind.as_deref()))
    else {
        return;
    };
    for layer in &mut layers[..=other] {
        layer.values.remove("store");
    }
}

/// Puts the secrets that were given as files in their places.
fn read_secrets(mut figment: Figment) -> Result<Figment, ConfigError> {
    for (section, key) in SECRETS {
        let full_key = format!("{section}.{key}");
        let Ok(value) = figment.find_value(&full_key) else { continue };
        let invalid = |key: &str, message: &str| ConfigError::Value {
            key: key.to_owned(),
            origin: origin_of(&figment, &full_key, key),
            message: message.to_owned(),
        };
        let mark = match &value {
            Value::String(..) => continue,
            Value::Dict(_, mark) => mark,
            // Said here, because the general message would show the value.
            _ => return Err(invalid(&full_key, "must be text in quotes")),
        };
        let file_key = format!("{full_key}_file");
        let Some(path) = mark.get(FILE_MARK).and_then(Value::as_str) else {
            return Err(invalid(&full_key, &format!("must be text in quotes; a file is named by {key}_file")));
        };
        let path = Path::new(path);
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::SecretUnreadable {
            origin: origin_of(&figment, &full_key, &file_key),
            key: file_key.clone(),
            path: path.to_owned(),
            source,
        })?;
        // Editors and `echo` end a file with a newline that nobody means to be in the password.
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty() {
            return Err(invalid(&file_key, &format!("{} is empty", path.display())));
        }
        let values =
            Dict::from([(section.to_owned(), Value::from(Dict::from([(key.to_owned(), Value::from(secret))])))]);
        figment = figment.merge(Layer { origin: Origin::Secret(path.to_owned()), values });
    }
    Ok(figment)
}

/// Gives the embedded database its place in `data_dir` unless it has one.
fn place_database(figment: Figment) -> Figment {
    let text = |key: &str| figment.find_value(key).ok().and_then(|value| value.into_string());
    if text("store.kind").as_deref() != Some("sqlite") || figment.find_value("store.path").is_ok() {
        return figment;
    }
    let Some(data_dir) = text("data_dir") else { return figment };
    let path = Path::new(&data_dir).join("hearback.db").to_string_lossy().into_owned();
    let values = Dict::from([("store".to_owned(), Value::from(Dict::from([("path".to_owned(), Value::from(path))])))]);
    figment.merge(Layer { origin: Origin::Defaults, values })
}

/// Where the value at `key` came from, described under the name `shown`.
fn origin_of(figment: &Figment, key: &str, shown: &str) -> String {
    let parts: Vec<&str> = shown.split('.').collect();
    figment
        .find_metadata(key)
        .map_or_else(|| "all sources".to_owned(), |metadata| metadata.interpolate(&Profile::Default, &parts))
}

/// Names the key and its source in words of ours.
fn explain(figment: &Figment, error: figment::Error) -> ConfigError {
    let mut path = error.path.clone();
    let message = match &error.kind {
        Kind::UnknownField(_, known) => format!("there is no such key; there are: {}", known.join(", ")),
        Kind::MissingField(field) => {
            path.push(field.to_string());
            "is missing".to_owned()
        }
        kind => kind.to_string(),
    };
    let key = path.join(".");
    // What is missing came from nowhere: then its section has to do.
    let place = if figment.find_metadata(&key).is_some() { key.clone() } else { error.path.join(".") };
    ConfigError::Value { origin: origin_of(figment, &place, &key), key, message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::super::{EmailTls, StoreConfig};
    use super::*;

    fn with_environment(variables: &[(&str, &str)]) -> LoadOptions {
        let environment = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        LoadOptions { environment, ..LoadOptions::default() }
    }

    fn with_file(text: &str) -> (LoadOptions, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hearback.toml");
        std::fs::write(&path, text).unwrap();
        (LoadOptions { file: ConfigFile::Required(path), ..LoadOptions::default() }, dir)
    }

    fn refusal(options: LoadOptions) -> String {
        Config::load(options).expect_err("these settings are wrong").to_string()
    }

    #[test]
    fn defaults_alone_are_a_whole_configuration() {
        let config = Config::load(LoadOptions::default()).unwrap();
        assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:7431");
        assert!(
            matches!(&config.store, StoreConfig::Sqlite { path } if path == Path::new("./hearback-data/hearback.db"))
        );
        let total: Duration = config.delivery.retry_schedule.iter().sum();
        assert!(total < config.delivery.max_age, "the last attempt comes before a delivery is given up");
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_defaults() {
        let (mut options, _dir) = with_file("[intake]\nmax_batch = 2\nqueue = 20\n[log]\nfilter = \"warn\"\n");
        options.environment = vec![
            ("HEARBACK__INTAKE__QUEUE".into(), "30".into()),
            ("HEARBACK__LOG__FILTER".into(), "error".into()),
            ("HEARBACK_TOKEN".into(), "somebody else reads this".into()),
        ];
        options.overrides = vec!["log.filter=hearback=debug".into()];
        let config = Config::load(options).unwrap();
        assert_eq!((config.intake.max_batch, config.intake.queue), (2, 30));
        assert_eq!(config.log.filter, "hearback=debug");
        assert_eq!(config.delivery.batch, 64);
    }

    #[test]
    fn the_environment_holds_numbers_switches_lists_and_tables() {
        let config = Config::load(with_environment(&[
            ("HEARBACK__DELIVERY__RETRY_SCHEDULE", "1s, 2m"),
            ("HEARBACK__DELIVERY__JITTER", "0.5"),
            ("HEARBACK__WEBHOOK__ALLOW_NETWORKS", "[\"10.0.0.0/8\", \"fd00::/8\"]"),
            ("HEARBACK__WEBHOOK__ENABLED", "false"),
            ("HEARBACK__GRPC__TLS__CERT", "/c"),
            ("HEARBACK__GRPC__TLS__KEY", "/k"),
            ("HEARBACK__EMAIL__TLS", "implicit"),
            ("HEARBACK__EMAIL__PORT", "2525"),
            ("HEARBACK__EMAIL__PASSWORD", "0012345"),
        ]))
        .unwrap();
        assert_eq!(config.delivery.retry_schedule, [Duration::from_secs(1), Duration::from_secs(120)]);
        assert_eq!(config.delivery.jitter, 0.5);
        assert_eq!(config.webhook.allow_networks.len(), 2);
        assert!(!config.webhook.enabled);
        assert_eq!(config.grpc.tls.unwrap().key, Path::new("/k"));
        assert_eq!((config.email.tls, config.email.port), (EmailTls::Implicit, Some(2525)));
        assert_eq!(config.email.password.unwrap().expose_secret(), "0012345");
    }

    #[test]
    fn an_empty_variable_empties_a_list() {
        let config = Config::load(with_environment(&[("HEARBACK__DELIVERY__RETRY_SCHEDULE", "")])).unwrap();
        assert!(config.delivery.retry_schedule.is_empty());
    }

    #[test]
    fn a_typo_is_refused_with_its_key_and_its_source() {
        let (options, dir) = with_file("[grpc]\nlisen = \"127.0.0.1:1\"\n");
        let message = refusal(options);
        assert!(message.starts_with("grpc.lisen: there is no such key; there are: listen, tls,"), "{message}");
        assert!(message.ends_with(&format!("(from {})", dir.path().join("hearback.toml").display())), "{message}");

        // The file touched the section last to be merged, but the typo is the environment's.
        let (mut options, _dir) = with_file("[grpc]\nreflection = false\n");
        options.environment = vec![("HEARBACK__GRPC__LISEN".into(), "x".into())];
        options.overrides = vec!["grpc.insecure=true".into()];
        assert!(refusal(options).ends_with("(from the environment, HEARBACK__GRPC__LISEN)"));

        let message = refusal(with_environment(&[("HEARBACK__GPRC__LISTEN", "x")]));
        assert!(message.starts_with("gprc: there is no such key"), "{message}");
        let options = LoadOptions { overrides: vec!["store.paht=x".into()], ..LoadOptions::default() };
        let message = refusal(options);
        assert!(message.starts_with("store.paht: there is no such key"), "{message}");
        assert!(message.ends_with("(from the flag store.paht=…)"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_key_and_its_source() {
        let cases = [
            ("HEARBACK__DELIVERY__LEASE", "30", "delivery.lease"),
            ("HEARBACK__DELIVERY__RETRY_SCHEDULE", "5s,soon", "delivery.retry_schedule"),
            ("HEARBACK__INTAKE__QUEUE", "many", "intake.queue"),
            ("HEARBACK__INTAKE__QUEUE", "-1", "intake.queue"),
            ("HEARBACK__GRPC__LISTEN", "localhost", "grpc.listen"),
            ("HEARBACK__HTTP__PUBLIC_URL", "example.org", "http.public_url"),
            ("HEARBACK__LOG__FORMAT", "xml", "log.format"),
            ("HEARBACK__WEBHOOK__ALLOW_NETWORKS", "10.0.0.0/99", "webhook.allow_networks"),
            ("HEARBACK__STORE__KIND", "mysql", "store.kind"),
        ];
        for (name, value, key) in cases {
            let message = refusal(with_environment(&[(name, value)]));
            assert!(message.starts_with(&format!("{key}: ")), "{message}");
            assert!(message.ends_with(&format!("(from the environment, {name})")), "{message}");
        }
        let (options, _dir) = with_file("[delivery]\nlease = 30\n");
        assert!(refusal(options).contains("text in quotes, such as \"30s\""));
    }

    #[test]
    fn a_secret_may_live_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "from the file\n").unwrap();
        let path = path.display().to_string();

        let (mut options, _dir) = with_file("[email]\npassword = \"from the settings\"\n");
        options.environment = vec![("HEARBACK__EMAIL__PASSWORD_FILE".into(), path.clone())];
        let config = Config::load(options).unwrap();
        assert_eq!(config.email.password.unwrap().expose_secret(), "from the file");

        let (mut options, _dir) = with_file(&format!("[email]\npassword_file = {path:?}\n"));
        options.overrides = vec!["email.password=from the flag".into()];
        let config = Config::load(options).unwrap();
        assert_eq!(config.email.password.unwrap().expose_secret(), "from the flag");
    }

    #[test]
    fn a_secret_that_is_wrong_is_never_shown() {
        let cases = [
            "[email]\npassword = 271828\n",
            "[email]\npassword = [\"271828\"]\n",
            "[email]\npassword = \"271828\"\npassword_file = \"/x\"\n",
            "[email]\npassword = 271828 271828\n",
            "[email]\npassword = { x = \"271828\" }\n",
            "[store]\nurl = \"271828\"\n",
            "[store]\nkind = \"postgres\"\nurl = \"271828\"\npath = \"x\"\n",
        ];
        for text in cases {
            let (options, _dir) = with_file(text);
            let error = Config::load(options).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("271828"), "{error:?}");
        }
        let missing = refusal(with_environment(&[("HEARBACK__EMAIL__PASSWORD_FILE", "/nowhere/at/all")]));
        assert!(missing.starts_with("email.password_file: cannot read /nowhere/at/all"), "{missing}");
        assert!(missing.contains("HEARBACK__EMAIL__PASSWORD_FILE"), "{missing}");
    }

    #[test]
    fn naming_another_database_drops_the_settings_of_the_first() {
        let (mut options, _dir) = with_file("[store]\nkind = \"sqlite\"\npath = \"/var/lib/h.db\"\n");
        options.environment = vec![
            ("HEARBACK__STORE__KIND".into(), "postgres".into()),
            ("HEARBACK__STORE__URL".into(), "postgres://db/h".into()),
        ];
        options.overrides = vec!["store.max_connections=3".into()];
        let config = Config::load(options).unwrap();
        let StoreConfig::Postgres { max_connections, min_connections, .. } = config.store else {
            panic!("not Postgres")
        };
        assert_eq!((max_connections, min_connections), (3, 1));
    }

    #[test]
    fn half_a_choice_cannot_be_written_down() {
        let message = refusal(with_environment(&[("HEARBACK__STORE__KIND", "postgres")]));
        assert!(message.starts_with("store: kind = \"postgres\" needs url"), "{message}");
        let message = refusal(with_environment(&[("HEARBACK__STORE__MAX_CONNECTIONS", "4")]));
        assert!(message.starts_with("store: max_connections goes with kind = \"postgres\""), "{message}");
        let message = refusal(with_environment(&[("HEARBACK__GRPC__TLS__CERT", "/c")]));
        assert!(message.starts_with("grpc.tls.key: is missing (from the environment"), "{message}");
    }

    #[test]
    fn the_database_follows_the_data_directory() {
        let config = Config::load(with_environment(&[("HEARBACK__DATA_DIR", "/srv/h")])).unwrap();
        assert!(matches!(config.store, StoreConfig::Sqlite { path } if path == Path::new("/srv/h/hearback.db")));
    }

    #[test]
    fn only_a_file_that_was_asked_for_must_exist() {
        let missing = PathBuf::from("/nowhere/at/all.toml");
        let optional = LoadOptions { file: ConfigFile::IfPresent(missing.clone()), ..LoadOptions::default() };
        assert!(Config::load(optional).is_ok());
        let required = LoadOptions { file: ConfigFile::Required(missing), ..LoadOptions::default() };
        assert_eq!(refusal(required), "cannot read the configuration file /nowhere/at/all.toml");
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let (options, dir) = with_file("[grpc]\nreflection = true\nlisten = nonsense\n");
        let message = refusal(options);
        let place = format!("{}, line 3: ", dir.path().join("hearback.toml").display());
        assert!(message.starts_with(&place), "{message}");
    }

    #[test]
    fn settings_without_a_default_are_shown_as_they_can_be_written() {
        let uncommented = |wanted: &dyn Fn(&str, &str) -> bool| {
            let mut section = "";
            let mut text = String::new();
            for line in DEFAULTS.lines() {
                if line.starts_with('[') {
                    section = line;
                }
                let optional = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
                match optional {
                    Some(setting) if wanted(section, setting) => text += setting,
                    Some(_) => {}
                    None => text += line,
                }
                text.push('\n');
            }
            text
        };
        let sqlite = uncommented(&|section, setting| section != "[store]" || setting.starts_with("path"));
        let (options, _dir) = with_file(&sqlite);
        let config = Config::load(options).unwrap();
        assert!(config.grpc.tls.is_some() && config.email.message_id_domain.is_some());

        let postgres = uncommented(&|section, setting| section == "[store]" && !setting.starts_with("path"))
            .replace("kind = \"sqlite\"", "kind = \"postgres\"");
        let (options, _dir) = with_file(&postgres);
        let documented = Config::load(options).unwrap().store;
        let implied = Config::load(with_environment(&[
            ("HEARBACK__STORE__KIND", "postgres"),
            ("HEARBACK__STORE__URL", "postgres://db/h"),
        ]))
        .unwrap()
        .store;
        assert_eq!(format!("{documented:?}"), format!("{implied:?}"), "the manual shows the real defaults");
    }
}
