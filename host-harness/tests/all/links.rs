//! Signed links: a connector follows those that the service gave it, and no others.

use host_harness::{Connection, Error, ErrorKind, Harness};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, folder, invoke};
use crate::names::Names;
use crate::server::{Reply, Server};
use crate::tls;

/// A service whose answers hold links, a storage that they lead to, both with TLS, and a connection to the service.
struct Rig {
    storage: Server,
    service: Server,
    harness: Harness,
    connection: Connection,
    names: Names,
}

impl Rig {
    /// `answer` is what the service says, with `STORE` for the storage.
    async fn new(answer: &'static str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        let (acceptor, pem) = tls::acceptor(&["work.test", "store.test"]);
        let storage = Server::with_tls(Some(acceptor.clone()), move |_| reply()).await;
        let store = format!("store.test:{}", port(&storage));
        let answer = answer.replace("STORE", &store);
        let service = Server::with_tls(Some(acceptor), move |_| Reply::json(&answer)).await;
        let names = Names::new(&[("work.test", &["127.0.0.1"]), ("store.test", &["127.0.0.1"])]);
        let harness = names.harness(|_| ());
        let mut config = config(&format!("https://work.test:{}", port(&service)));
        let file = folder().join("ca.pem");
        std::fs::write(&file, pem).unwrap();
        config.ca_file = Some(file);
        config.allow_private_addresses = true;
        let connection = harness.connect(config).await.unwrap();
        Self { storage, service, harness, connection, names }
    }

    /// One step asks the service, the next one requests the link.
    async fn follow(&self, link: &str) -> Result<Json, Error> {
        let link = link.replace("STORE", &format!("store.test:{}", port(&self.storage)));
        let url = format!("{}/api/one/1", self.connection.origin());
        let headers = json!({"x-own": "1", "authorization": "Bearer mine", "cookie": "a=b"});
        let input = json!({ "url": url, "then": { "url": link, "headers": headers } });
        invoke(&self.harness, &self.connection, "follow", &input).await
    }
}

fn port(server: &Server) -> &str {
    server.url.rsplit(':').next().unwrap()
}

const LINK: &str = "https://STORE/bucket/a%2Fb//c?X-Sig=a%2Bb&x=1";
const ANSWER: &str = r#"{"links": [{"link": "https:\/\/STORE/bucket/a%2Fb//c?X-Sig=a%2Bb\u0026x=1"}], "note": "https://STORE/note"}"#;

/// D20: a link that the service gave is followed in a later step, with the headers that the connector gives and no
/// credentials.
#[tokio::test]
async fn a_link_of_the_service_is_followed_without_credentials() {
    let rig = Rig::new(ANSWER, || Reply::json("{\"rows\": 1}")).await;
    assert_eq!(rig.follow(LINK).await.unwrap()["body"], "{\"rows\": 1}");
    let request = &rig.storage.requests()[0];
    assert_eq!(request.line, "GET /bucket/a%2Fb//c?X-Sig=a%2Bb&x=1");
    assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
    assert_eq!(request.header("x-own"), Some("1"));
    assert!(rig.service.requests()[0].header("authorization").is_some());
}

/// D20: a link of the connector's own making is refused, however near it comes to one of the service, and nobody is asked
/// for its name.
#[tokio::test]
async fn a_link_of_another_is_not_followed() {
    let rig = Rig::new(ANSWER, || Reply::json("{}")).await;
    for link in [
        "https://STORE/bucket/a%2Fb//c?X-Sig=a%2Bb&x=1&d=data",
        "https://STORE/bucket/a%2Fb//c?X-Sig=a%2Bb",
        "https://STORE/bucket/a%2fb//c?X-Sig=a%2Bb&x=1",
        "https://STORE/bucket/a/b//c?X-Sig=a%2Bb&x=1",
        "http://STORE/bucket/a%2Fb//c?X-Sig=a%2Bb&x=1",
        "https://evil.test/bucket/a%2Fb//c?X-Sig=a%2Bb&x=1",
        "https://store.test/bucket/a%2Fb//c?X-Sig=a%2Bb&x=1",
        "https://STORE/note",
        "https://data.evil.test/",
    ] {
        let error = rig.follow(link).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{link}: {error}");
    }
    assert_eq!(rig.storage.connections(), 0);
    assert!(rig.names.asked().iter().all(|name| name == "work.test"), "{:?}", rig.names.asked());
    let error = rig.follow("https://evil.test/x").await.unwrap_err();
    assert!(error.message.contains("nor a link that came from there"), "{error}");
}

/// D20: links are those of one run of an action, and of actions that declare them.
#[tokio::test]
async fn a_link_of_another_run_is_not_followed() {
    let rig = Rig::new(ANSWER, || Reply::json("{}")).await;
    rig.follow(LINK).await.unwrap();
    let link = LINK.replace("STORE", &format!("store.test:{}", port(&rig.storage)));
    for action in ["get", "follow"] {
        let error = invoke(&rig.harness, &rig.connection, action, &json!({ "url": link }))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{action}: {error}");
    }
    assert_eq!(rig.storage.requests().len(), 1);
}

/// D20: what stands in a link's own answer is no word of the service.
#[tokio::test]
async fn links_do_not_lead_to_links() {
    let answer = r#"{"link": "https://STORE/first"}"#;
    let rig = Rig::new(answer, || Reply::json(r#"{"link": "https://evil.test/second"}"#)).await;
    let first = format!("https://store.test:{}/first", port(&rig.storage));
    let url = format!("{}/api/one/1", rig.connection.origin());
    let input = json!({ "urls": [url, first], "then": { "url": "https://evil.test/second" } });
    let error = invoke(&rig.harness, &rig.connection, "follow", &input).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert_eq!(rig.storage.requests().len(), 1);
}

/// D21: a redirect of a storage is an answer.
#[tokio::test]
async fn redirects_of_links_are_not_followed() {
    let rig =
        Rig::new(ANSWER, || Reply::new(302, "location: https://work.test/api/one/1\r\n", "")).await;
    assert_eq!(rig.follow(LINK).await.unwrap()["status"], 302);
    assert_eq!((rig.storage.requests().len(), rig.service.requests().len()), (1, 1));
}

/// D21: a link to an address that is not let out, or by http, is not followed, although the service gave it.
#[tokio::test]
async fn links_are_bound_by_addresses_and_schemes() {
    let answer = r#"{"a": {"link": "https://169.254.169.254/x"}, "b": {"link": "http://store.test/x"},
        "c": {"link": "http://127.0.0.1:1/x"}, "d": {"link": "https://user@store.test/x"}}"#;
    let rig = Rig::new(answer, || Reply::json("{}")).await;
    for link in [
        "https://169.254.169.254/x",
        "http://store.test/x",
        "http://127.0.0.1:1/x",
        "https://user@store.test/x",
    ] {
        let error = rig.follow(link).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{link}: {error}");
    }
    assert_eq!(rig.storage.connections(), 0);
}

/// D20, D21: a service on this very machine gives links to itself, by http; its links to private networks are not followed.
#[tokio::test]
async fn a_local_service_gives_links_to_itself() {
    let server = Server::start(|request| {
        let host = request.header("host").unwrap();
        Reply::json(&format!(
            "{{\"a\": {{\"link\": \"http://{host}/results/1?sig=x\"}}, \"b\": {{\"link\": \"https://store.test/x\"}},
            \"c\": {{\"link\": \"https://10.0.0.1/x\"}}, \"d\": {{\"link\": \"http://127.0.0.1:1/x\"}}}}"
        ))
    })
    .await;
    let names = Names::new(&[("store.test", &["10.1.2.3"])]);
    let harness = names.harness(|_| ());
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let follow = async |link: &str| {
        let input = json!({ "url": format!("{}/api/one/1", server.url), "then": { "url": link } });
        invoke(&harness, &connection, "follow", &input).await
    };
    let own = format!("{}/results/1?sig=x", server.url);
    assert_eq!(follow(&own).await.unwrap()["status"], 200);
    assert_eq!(server.requests().pop().unwrap().header("authorization"), None);
    for link in ["https://store.test/x", "https://10.0.0.1/x", "http://127.0.0.1:1/x"] {
        let error = follow(link).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{link}: {error}");
    }
}
