//! The table of settings, and what they come to.

use std::{
    collections::BTreeMap,
    env,
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use icefield_engine::Settings as EngineSettings;
use icefield_server::{
    ServerSettings,
    connection::TlsFiles,
    notify::{MailSettings, NotifySettings},
};

use super::value::Value;
use crate::failure::Failure;

/// One setting.
#[derive(Debug)]
struct Setting {
    /// Its name in the file; in the environment it is `ICEFIELD_` and the name in upper case.
    key: &'static str,
    /// Its form.
    form: &'static str,
    /// What holds without it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test compares"))]
    default: &'static str,
    /// What it does.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test compares"))]
    about: &'static str,
}

macro_rules! settings {
    ($($key:ident, $form:literal, $default:literal, $about:literal;)*) => {
        /// Every setting, in the order of the reference.
        const SETTINGS: &[Setting] = &[
            $(Setting { key: stringify!($key), form: $form, default: $default, about: $about },)*
        ];
    };
}

settings! {
    data, "folder", "the embedded store", "The store that is served.";
    listen, "address:port", "127.0.0.1:9440", "Where the service listens. Port 0 takes a free one.";
    metrics_listen, "address:port", "127.0.0.1:9441", "Where metrics and health are told, in plain HTTP. `none` tells them nowhere.";
    region, "name", "the store's, else us-east-1", "The region in ARNs. The first one is written into the store, another one later is refused.";
    public_url, "URL", "the address it listens on", "Where clients reach the service: told to people and to subscribers of topics.";
    tls_certificate, "file", "none: plain HTTP", "Certificate and those of its issuers, PEM. Read again when it changes.";
    tls_key, "file", "none", "Private key of the certificate, PEM.";
    master_key_file, "file", "icefield/master.key in the user's configuration folder", "Key that the secrets of access keys are sealed with; mode 0600, made on first use. Keep a copy, apart from the data.";
    root_access_key_id, "20 characters", "none", "Access key of the first account's root, kept in the store; another value replaces it.";
    root_secret_access_key, "40 characters", "none", "The secret of that key. Better given in the environment than in the file.";
    retrieval_delay, "expedited=D,standard=D,bulk=D", "none", "How long jobs take by tier; inventories take as long as standard.";
    inventory_interval, "duration", "24h", "How often the inventory of a vault is renewed; `0s` renews it on every use.";
    upload_expiry, "duration", "7days", "How long an idle multipart upload is kept; at least 24h.";
    job_lifetime, "duration", "24h", "How long an ended job and its output are kept; at least 24h.";
    vaults_per_account, "number", "1000", "Vaults that an account may have.";
    jobs_per_vault, "number", "1000000", "Jobs that a vault may have, ended ones that are still kept included. Each takes a few hundred bytes of the ledger.";
    inventory_jobs_per_vault, "number", "1000", "How many of them may be inventories. Each takes a file of about 400 bytes for each archive.";
    uploads_per_vault, "number", "10000", "Multipart uploads that a vault may have in progress.";
    retrieval_hours, "hours", "4", "Time that a standard retrieval is spread over when its rate is compared with a data retrieval policy.";
    free_tier, "size", "10GiB", "What the retrieval policy `FreeTier` lets through in a month.";
    expedited_needs_capacity, "true or false", "false", "Whether expedited retrievals are refused without provisioned capacity.";
    clock_skew, "duration", "5m", "How far the time of a signature may be from now, either way.";
    strict_scope, "true or false", "false", "Whether signatures must be made for the service `glacier` and the store's region. Old clients that take both from the host name cannot do that.";
    requests_per_second, "number", "any", "Requests that one account may make in a second.";
    connections, "number", "8192", "Connections open at once. For one more, the one that has been idle longest is closed, those first on which nobody has signed a request yet; if all have requests under way, it waits.";
    body_memory, "size", "64MiB", "Memory for the bodies of all requests, beyond one window of 256 KiB for each.";
    header_timeout, "duration", "20s", "How long the head of a request may take.";
    idle_timeout, "duration", "75s", "How long a connection is kept between two requests.";
    body_stall_timeout, "duration", "20s", "How long a body may pause.";
    smtp_url, "URL", "none: no mail", "The server that mail goes to: `smtps://USER:PASSWORD@HOST`, `smtp://HOST?tls=required` (STARTTLS) or `smtp://HOST`, each with a port if need be. Better given in the environment when it has a password.";
    smtp_from, "address", "icefield@localhost", "Who the mail is from.";
    notify_allow, "hosts, by commas", "none", "Hosts that notifications may go to although they are at a link-local or metadata address. `169.254.169.254` also lets the AWS credentials of the machine be used.";
    notify_first_retry, "duration", "10s", "How long to wait after a notification could not be delivered; doubled each time, up to 1h.";
    notify_attempts, "number", "32", "Attempts after which a notification is given up; 32 are about a day.";
    log_format, "text or json", "json; text on a terminal", "Form of the log on standard error, or in the file of `--log-file`.";
    log_level, "off, error, warn, info, debug or trace", "info", "What the log tells: `info` has a line for each request. Libraries are heard from `warn` on only.";
    audit_log, "file", "audit.log in the store's folder; none in memory", "Where each change is told of before it is answered. `none` tells nobody.";
    scrub_rate, "size", "20MiB", "Bytes per second that are verified in the background, at most. 0 verifies nothing.";
    compaction_rate, "size", "20MiB", "Bytes per second that are read, and as many written, to give the room of deleted archives in packs back, at most. 0 does so only when `icefield store compact` is called.";
    shutdown_timeout, "duration", "30s", "How long requests may go on when the service is asked to end.";
}

/// Who mail is from, if nobody says.
const MAIL_FROM: &str = "icefield@localhost";

/// The settings of one run.
#[derive(Debug)]
pub(crate) struct Service {
    values: BTreeMap<&'static str, Value>,
    folder: Option<PathBuf>,
}

impl Service {
    /// Reads file and environment. `file` is the one that was named; it must exist.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let folders = directories::BaseDirs::new();
        let folder = folders.map(|folders| folders.config_dir().join("icefield"));
        let usual = folder.as_ref().map(|folder| folder.join("serve.toml"));
        let mut values = BTreeMap::new();
        if let Some(path) = file.map(Path::to_owned).or(usual) {
            match std::fs::read_to_string(&path) {
                Ok(text) => from_file(&path, &text, &mut values)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
                Err(error) => {
                    let text = format!("cannot read {}", path.display());
                    return Err(Failure::usage(text).because(error).into());
                }
            }
        }
        for setting in SETTINGS {
            let name = format!("ICEFIELD_{}", setting.key.to_ascii_uppercase());
            if let Some(text) = variable(&name) {
                values.insert(setting.key, Value { key: setting.key, text, from: name });
            }
        }
        Ok(Self { values, folder })
    }

    /// Puts an option of the command line above everything.
    pub(crate) fn set(&mut self, key: &'static str, option: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            let (text, from) = (text.to_string(), option.to_owned());
            self.values.insert(key, Value { key, text, from });
        }
    }

    /// The text of a setting, if anybody has given one.
    pub(crate) fn value(&self, key: &'static str) -> Option<&Value> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.key == key), "{key}");
        self.values.get(key)
    }

    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.value(key).map(|value| PathBuf::from(&value.text))
    }

    /// Where the master key is.
    pub(crate) fn master_key_file(&self) -> Result<PathBuf, Failure> {
        let usual = || self.folder.as_ref().map(|folder| folder.join("master.key"));
        self.path("master_key_file").or_else(usual).ok_or_else(|| {
            Failure::usage("there is no home folder to keep the master key in")
                .hint("set ICEFIELD_MASTER_KEY_FILE")
        })
    }

    /// What the engine is told, but for the region, which is the store's.
    pub(crate) fn engine(&self, dev: bool) -> Result<EngineSettings, Failure> {
        let mut settings = EngineSettings::embedded();
        if !dev {
            settings.inventory_interval = Duration::from_hours(24);
        }
        if let Some(value) = self.value("retrieval_delay") {
            settings.retrieval_delay = value.delays()?;
        }
        for key in ["upload_expiry", "job_lifetime"] {
            if let Some(value) = self.value(key) {
                value.read(at_least_a_day)?;
            }
        }
        for (key, place) in [
            ("inventory_interval", &mut settings.inventory_interval),
            ("upload_expiry", &mut settings.upload_expiry),
            ("job_lifetime", &mut settings.job_lifetime),
        ] {
            if let Some(value) = self.value(key) {
                *place = value.duration()?;
            }
        }
        set(self.value("vaults_per_account"), Value::parsed, &mut settings.vaults_per_account)?;
        for (key, place) in [
            ("jobs_per_vault", &mut settings.jobs_per_vault),
            ("inventory_jobs_per_vault", &mut settings.inventory_jobs_per_vault),
            ("uploads_per_vault", &mut settings.uploads_per_vault),
        ] {
            set(self.value(key), Value::parsed, place)?;
        }
        set(self.value("retrieval_hours"), Value::parsed, &mut settings.retrieval_hours)?;
        set(self.value("free_tier"), Value::bytes, &mut settings.free_tier_bytes)?;
        let needs_capacity = &mut settings.expedited_needs_capacity;
        set(self.value("expedited_needs_capacity"), Value::parsed, needs_capacity)?;
        Ok(settings)
    }

    /// What the server is told.
    pub(crate) fn server(&self) -> Result<ServerSettings, Failure> {
        let tls = match (self.path("tls_certificate"), self.path("tls_key")) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => {
                return Err(Failure::usage("tls_certificate and tls_key belong together")
                    .hint("give both, or neither for plain HTTP"));
            }
        };
        let public_url = self.value("public_url").map(|value| value.read(base_url)).transpose()?;
        let mut settings = ServerSettings { tls, public_url, ..ServerSettings::default() };
        set(self.value("clock_skew"), Value::duration, &mut settings.skew)?;
        set(self.value("strict_scope"), Value::parsed, &mut settings.strict_scope)?;
        if let Some(value) = self.value("requests_per_second") {
            settings.requests_per_second = Some(value.parsed()?);
        }
        settings.notify = self.notify()?;
        if let Some(value) = self.value("scrub_rate") {
            settings.scrub_bytes_per_second = NonZeroU64::new(value.bytes()?);
        }
        if let Some(value) = self.value("compaction_rate") {
            settings.compaction_bytes_per_second = NonZeroU64::new(value.bytes()?);
        }
        let limits = &mut settings.limits;
        set(self.value("connections"), at_least_one, &mut limits.connections)?;
        let in_memory = |value: &Value| {
            let bytes = value.bytes()?;
            usize::try_from(bytes).map_err(|_| Failure::usage("body_memory does not fit in memory"))
        };
        set(self.value("body_memory"), in_memory, &mut limits.budget_bytes)?;
        set(self.value("header_timeout"), some_time, &mut limits.header)?;
        set(self.value("idle_timeout"), some_time, &mut limits.idle)?;
        set(self.value("body_stall_timeout"), some_time, &mut limits.body_stall)?;
        set(self.value("shutdown_timeout"), Value::duration, &mut limits.shutdown)?;
        Ok(settings)
    }
}

impl Service {
    /// How notifications are delivered.
    fn notify(&self) -> Result<NotifySettings, Failure> {
        let mut settings = NotifySettings::default();
        if let Some(value) = self.value("smtp_url") {
            let from = self.value("smtp_from").map_or(MAIL_FROM, |value| value.text.as_str());
            let mail = MailSettings::parse(&value.text, from);
            let from = &value.from;
            let refused = |wrong| Failure::usage(format!("smtp_url in {from}: {wrong}"));
            settings.mail = Some(mail.map_err(refused)?);
        }
        if let Some(value) = self.value("notify_allow") {
            settings.allow = value.words().into_iter().collect();
        }
        set(self.value("notify_first_retry"), Value::duration, &mut settings.first_retry)?;
        set(self.value("notify_attempts"), Value::parsed, &mut settings.attempts)?;
        Ok(settings)
    }
}

fn at_least_one(value: &Value) -> Result<usize, Failure> {
    value.read(|text| match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{text:?} is not a number of at least 1")),
    })
}

fn some_time(value: &Value) -> Result<Duration, Failure> {
    match value.duration()? {
        Duration::ZERO => value.read(|text| Err(format!("{text:?} would let nobody in"))),
        time => Ok(time),
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!("{text:?} is not of the form https://HOST or http://HOST:PORT")),
    }
}

/// What clients rely on ("Uploading Large Archives in Parts", "Get Job Output (GET output)").
fn at_least_a_day(text: &str) -> Result<(), String> {
    match humantime::parse_duration(text) {
        Ok(length) if length < Duration::from_hours(24) => {
            Err(format!("{text:?} is less than 24h, which clients rely on"))
        }
        // What is no duration is told by whoever reads it.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn set<T>(
    value: Option<&Value>,
    read: impl FnOnce(&Value) -> Result<T, Failure>,
    place: &mut T,
) -> Result<(), Failure> {
    if let Some(value) = value {
        *place = read(value)?;
    }
    Ok(())
}

fn from_file(
    path: &Path,
    text: &str,
    values: &mut BTreeMap<&'static str, Value>,
) -> Result<(), Failure> {
    let wrong = || format!("{} is not a valid configuration", path.display());
    let table: toml::Table =
        toml::from_str(text).map_err(|error| Failure::usage(wrong()).because(error))?;
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let known = SETTINGS.iter().map(|setting| setting.key);
            let nearest = icefield_client::pattern::nearest_names(&key, known, 3);
            let hint = match nearest.as_slice() {
                [] => "docs/configuration.md lists the settings".to_owned(),
                near => format!("nearest: {}", near.join(", ")),
            };
            return Err(
                Failure::usage(format!("{}: there is no setting `{key}`", wrong())).hint(hint)
            );
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other => {
                let text = format!("{}: {key} cannot be {}", wrong(), other.type_str());
                return Err(Failure::usage(text).hint(format!("its form is: {}", setting.form)));
            }
        };
        let from = path.display().to_string();
        values.insert(setting.key, Value { key: setting.key, text, from });
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "settings are read from the environment here")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Service, Failure> {
        let mut values = BTreeMap::new();
        from_file(Path::new("serve.toml"), text, &mut values)?;
        Ok(Service { values, folder: None })
    }

    #[test]
    fn the_file_sets_engine_and_server() {
        let text = "inventory_interval = '1h'\nconnections = 5\nstrict_scope = true\nfree_tier = '1GiB'\njobs_per_vault = 7\ninventory_jobs_per_vault = 6\nuploads_per_vault = 5\nretrieval_delay = 'bulk=8h'";
        let service = read(text).unwrap();
        let engine = service.engine(false).unwrap();
        assert_eq!(engine.inventory_interval, Duration::from_hours(1));
        assert_eq!(engine.retrieval_delay.bulk, Duration::from_hours(8));
        assert_eq!(engine.free_tier_bytes, 1 << 30);
        assert_eq!((engine.jobs_per_vault, engine.inventory_jobs_per_vault), (7, 6));
        assert_eq!(engine.uploads_per_vault, 5);
        let server = service.server().unwrap();
        assert_eq!((server.limits.connections, server.strict_scope), (5, true));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, wrong) in [
            ("conections = 5", "there is no setting `conections`"),
            ("listen = [1]", "listen cannot be array"),
            ("= 1", "serve.toml is not a valid configuration"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
        for (text, wrong) in [
            ("connections = 'many'", "connections in serve.toml: \"many\""),
            ("connections = 0", "at least 1"),
            ("body_stall_timeout = '0s'", "would let nobody in"),
            ("clock_skew = 'long'", "clock_skew in serve.toml: \"long\" is not a duration"),
            ("tls_key = 'a'", "tls_certificate and tls_key belong together"),
            ("requests_per_second = 0", "requests_per_second in serve.toml"),
        ] {
            let message = read(text).unwrap().server().unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }

    /// The reference is made of the table; what it should be is printed when it is not.
    #[test]
    fn the_reference_says_what_the_table_says() {
        let reference = include_str!("../../../../docs/configuration.md");
        let mut table = String::from(
            "| Setting | Form | Default | What it does |\n| --- | --- | --- | --- |\n",
        );
        for Setting { key, form, default, about } in SETTINGS {
            table += &format!("| `{key}` | {form} | {default} | {about} |\n");
        }
        assert!(reference.contains(&table), "docs/configuration.md should contain:\n{table}");
    }
}
