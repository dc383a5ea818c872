//! A user, a server, and the line between them.

use icefield_conformance::proxy::{Asked, Fault, Moment, Proxy, Storm};

use super::{home::Home, view::View};
use crate::process::Serve;

/// What users of a line call the target at its end.
pub(super) const TARGET: &str = "lab";

/// A user's home, a server, and the proxy between them. When the test fails, it tells what has passed.
pub(super) struct Line {
    pub(super) home: Home,
    pub(super) proxy: Proxy,
    pub(super) view: View,
    pub(super) serve: Serve,
}

impl Line {
    /// Starts a server whose inventories are always current, and makes it known to the user as [`TARGET`].
    pub(super) async fn new() -> Self {
        let serve = Serve::start(&[
            ("ICEFIELD_INVENTORY_INTERVAL", "0s"),
            // One line for each request is of no use here.
            ("ICEFIELD_LOG_LEVEL", "warn"),
        ]);
        let upstream = serve.endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let proxy = Proxy::start(upstream).await.unwrap();
        let view = View::of(&serve);
        let mut home = Home::new();
        home.set("AWS_ACCESS_KEY_ID", &serve.access_key);
        home.set("AWS_SECRET_ACCESS_KEY", &serve.secret_key);
        let line = Self { home, proxy, view, serve };
        line.home.add_target(TARGET, &line.endpoint(), &line.serve.region).await;
        line
    }

    /// Lets things go wrong from now on, as the seed has it: something happens to so many of a hundred requests.
    pub(super) fn storm(&self, seed: u64, percent: u64) {
        self.proxy.follow(Storm { seed, percent }, u64::MAX);
    }

    /// Runs the program until its exchange of this number comes to a moment, and kills it there as `kill -9` does. Returns
    /// false when it has ended before.
    pub(super) async fn killed(&self, words: &[String], exchange: usize, at: Moment) -> bool {
        let hold =
            move |number: u64, _: &Asked| (number == exchange as u64).then_some(Fault::Held(at));
        self.proxy.follow(hold, 1);
        let was_killed = self.home.start(words).kill_at(self.proxy.held()).await;
        self.proxy.follow(|_, _: &Asked| None, 0);
        self.proxy.release();
        self.proxy.quiet().await;
        was_killed
    }

    /// Returns where the user finds the server.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.proxy.address())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.proxy.log();
            eprintln!("{log}{}", log.figures());
        }
    }
}

/// Returns how the user writes a vault.
pub(super) fn at(vault: &str) -> String {
    format!("{TARGET}:{vault}")
}
