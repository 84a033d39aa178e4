//! The client of the API server: nothing that is asked may wait forever.
//!
//! A connection can die without a word (a node that vanished, a firewall that forgot it), and then neither a list, nor the start of
//! a watch, nor a write would ever end. So whatever is read from the API server ends after a silence. Watches are no exception: they are
//! asked for shorter than that, so a connection that lives is never silent for so long.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::util::MapResponseLayer;

use super::utf8;

/// How long a watch is asked for. The API server ends it then, and it is taken up where it ended.
pub const WATCH_FOR: Duration = Duration::from_mins(1);
/// A connection from which nothing comes for so long, although something is waited for, is dead.
pub const SILENCE_AT_MOST: Duration = Duration::from_secs(75);

/// The settings that this process finds where it runs: the cluster's environment, or a kubeconfig.
pub async fn find() -> Result<Config, kube::config::InferConfigError> {
    Config::infer().await.map(|config| bounded(config, SILENCE_AT_MOST))
}

/// A client with these settings.
pub fn connect(config: Config) -> Result<Client, kube::Error> {
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&MapResponseLayer::new(utf8::repaired)).build())
}

fn bounded(mut config: Config, silence_at_most: Duration) -> Config {
    // Whoever asks tries again, and knows when. A client that did so by itself would keep the refusal of an eviction for minutes.
    config.default_retry = false;
    config.read_timeout = Some(silence_at_most);
    // Or the time that a connection idled would count against the next answer.
    config.reset_reader_on_write = true;
    config
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::Api;
    use kube::runtime::watcher;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::cluster::cache::{Cache, part};

    const SILENCE: Duration = Duration::from_millis(300);

    /// An API server whose first answer to each question never comes, though it hears the question.
    #[derive(Default)]
    struct Unsteady {
        lists: AtomicUsize,
        watches: AtomicUsize,
        /// What it sends instead of each exclamation mark.
        byte: Option<u8>,
    }

    impl Unsteady {
        async fn serve(self: Arc<Self>, listener: TcpListener) {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&self).answer(stream));
            }
        }

        async fn answer(self: Arc<Self>, mut stream: TcpStream) {
            let mut heard = Vec::new();
            loop {
                let mut part = [0; 1024];
                match stream.read(&mut part).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => heard.extend_from_slice(&part[..length]),
                }
                if !heard.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let question = String::from_utf8(std::mem::take(&mut heard)).unwrap();
                let is_watch = question.lines().next().unwrap().contains("watch=true");
                let asked = if is_watch { &self.watches } else { &self.lists };
                let answer = match (asked.fetch_add(1, Ordering::SeqCst), is_watch) {
                    (0, _) => continue,
                    // A watch may also begin, and then fall silent.
                    (1, true) => String::new(),
                    (_, true) => format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", object("made", "3")),
                    (_, false) => list().to_string(),
                };
                let status_line = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                let told = if is_watch {
                    let chunk = if answer.is_empty() {
                        answer
                    } else {
                        format!("{:x}\r\n{answer}\r\n", answer.len())
                    };
                    format!("{status_line}Transfer-Encoding: chunked\r\n\r\n{chunk}")
                } else {
                    format!("{status_line}Content-Length: {}\r\n\r\n{answer}", answer.len())
                };
                let sent = |byte| self.byte.filter(|_| byte == b'!').unwrap_or(byte);
                let told: Vec<u8> = told.bytes().map(sent).collect();
                stream.write_all(&told).await.unwrap();
            }
        }
    }

    fn object(name: &str, version: &str) -> Value {
        let metadata = json!({ "name": name, "namespace": "n", "resourceVersion": version });
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "note": "ä!" } })
    }

    fn list() -> Value {
        let metadata = json!({ "resourceVersion": "2" });
        json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": [object("listed", "1")] })
    }

    /// What a cache comes to know of the server.
    async fn follow(server: &Arc<Unsteady>) -> Cache<ConfigMap> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(Arc::clone(server).serve(listener));
        let client = connect(bounded(Config::new(url), SILENCE)).unwrap();
        let cache: Cache<ConfigMap> = Cache::new("ConfigMap");
        let keep = part(|object: ConfigMap| object);
        tokio::spawn(cache.clone().follow(Api::all(client), watcher::Config::default(), keep));
        let mut changes = cache.changes();
        let is_followed = async {
            while cache.get("n", "made").is_none() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_mins(1), is_followed).await.expect("the watch goes on");
        assert!(cache.get("n", "listed").is_some());
        cache
    }

    #[tokio::test]
    async fn a_list_and_a_watch_on_a_connection_that_died_are_taken_up_on_another() {
        let server = Arc::new(Unsteady::default());
        follow(&server).await;
        assert!(server.lists.load(Ordering::SeqCst) >= 2 && server.watches.load(Ordering::SeqCst) >= 3);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_spoil_neither_a_list_nor_a_watch() {
        let steady = Unsteady { lists: 1.into(), watches: 2.into(), byte: Some(0xff) };
        let cache = follow(&Arc::new(steady)).await;
        let note = |name| cache.get("n", name).unwrap().data.clone().unwrap().remove("note");
        assert_eq!(note("listed").as_deref(), Some("ä\u{fffd}"));
        assert_eq!(note("made"), note("listed"));
    }
}
