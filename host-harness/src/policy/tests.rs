use proptest::prelude::*;

use super::*;
use crate::description::RetryClass;

fn endpoint(method: &str, path: &str, audience: Audience) -> Endpoint {
    Endpoint { method: method.into(), path: path.into(), audience, retry: RetryClass::Safe }
}

fn endpoints() -> [Endpoint; 4] {
    [
        endpoint("GET", "/api/2.1/clusters/get", Audience::Workspace),
        endpoint("POST", "/api/2.0/sql/warehouses/{id}/start", Audience::Workspace),
        endpoint("*", "/api/*", Audience::Account),
        endpoint("*", "/api/2.0/raw/*", Audience::Workspace),
    ]
}

fn reach() -> Reach {
    let credentials = endpoint("POST", "/api/{version}/raw/token/create", Audience::Workspace);
    Reach {
        workspace: Origin::parse("https://work.test").expect("origin"),
        account: Origin::parse("https://accounts.test").ok(),
        listed: ["files.test", "other.test:8443"]
            .map(|h| ListedHost::parse(h).expect("host"))
            .into(),
        http_loopback: false,
        rules: Rules::new(false, &[], &[credentials]).expect("rules"),
    }
}

fn judged(reach: &Reach, endpoints: &[Endpoint], method: &str, url: &str) -> Result<Pass, String> {
    admission(reach, endpoints, &Links::default(), method, url).map(|admission| admission.pass)
}

fn admission(
    reach: &Reach,
    endpoints: &[Endpoint],
    links: &Links,
    method: &str,
    url: &str,
) -> Result<Admission, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    // As connectors hand requests over: in parts, each of which has to be readable.
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    let uri = uri.map_err(|error| error.to_string())?;
    decide(reach, endpoints, links, &method, &uri)
}

fn verdict(method: &str, url: &str) -> Result<Pass, String> {
    judged(&reach(), &endpoints(), method, url)
}

#[test]
fn declared_requests_are_authorized() {
    for (method, url) in [
        ("GET", "https://work.test/api/2.1/clusters/get?cluster_id=1"),
        ("GET", "https://WORK.test:443/api/2.1/clusters/get"),
        ("POST", "https://work.test/api/2.0/sql/warehouses/abc/start"),
        ("DELETE", "https://work.test/api/2.0/raw/any/thing"),
        ("GET", "https://accounts.test/api/2.0/accounts/1"),
    ] {
        assert_eq!(verdict(method, url), Ok(Pass::Authorized), "{method} {url}");
    }
}

#[test]
fn listed_hosts_are_reached_without_credentials() {
    assert_eq!(verdict("PUT", "https://files.test/any"), Ok(Pass::Bare));
    assert_eq!(verdict("PUT", "https://files.test:8443/any"), Ok(Pass::Bare));
    assert_eq!(verdict("PUT", "https://other.test:8443/any"), Ok(Pass::Bare));
    assert!(verdict("PUT", "https://other.test/any").is_err());
}

/// What a repetition does is what the endpoint says; of a listed host, nothing is known.
#[test]
fn admissions_say_what_a_repetition_does() {
    let mut endpoints = endpoints();
    endpoints[1].retry = RetryClass::Convergent;
    for (method, url, retry) in [
        ("GET", "https://work.test/api/2.1/clusters/get", RetryClass::Safe),
        ("POST", "https://work.test/api/2.0/sql/warehouses/a/start", RetryClass::Convergent),
        ("GET", "https://files.test/any", RetryClass::Manual),
    ] {
        let admission = admission(&reach(), &endpoints, &Links::default(), method, url);
        assert_eq!(admission.map(|admission| admission.retry), Ok(retry), "{url}");
    }
}

/// A link is followed by the method that is declared for it, and without credentials.
#[test]
fn links_are_followed_as_they_are_declared() {
    let endpoints = [endpoint("GET", "external_link", Audience::SignedLink)];
    let (links, url) = (Links::of(&endpoints), "https://store.test/a?sig=1");
    links.keep(url);
    let follow = |method: &str, url: &str| {
        admission(&reach(), &endpoints, &links, method, url).map(|admission| admission.pass)
    };
    assert_eq!(follow("GET", url), Ok(Pass::Bare));
    assert!(follow("PUT", url).is_err());
    assert!(follow("GET", "https://store.test/a?sig=2").is_err());
}

/// A star is any rest at the end alone; elsewhere it is a star.
#[test]
fn stars_stand_for_the_rest_of_a_path() {
    for (template, path, fits) in [
        ("/api/*", "/api/2.0/x", true),
        ("/api/*", "/api/", true),
        ("/api/*", "/api", false),
        ("/api/*/get", "/api/2.0/get", false),
        ("/api/*/get", "/api/2.0/delete", false),
        ("/api/*/get", "/api/*/get", true),
    ] {
        assert_eq!(matches(template, path), fits, "{template} {path}");
    }
}

#[test]
fn plain_http_goes_to_this_machine_alone_and_where_it_is_allowed() {
    let listed = || ["127.0.0.1", "files.test"].map(|h| ListedHost::parse(h).expect("host")).into();
    for (http_loopback, url, allowed) in [
        (true, "http://127.0.0.1:8080/any", true),
        (false, "http://127.0.0.1:8080/any", false),
        (true, "http://files.test/any", false),
    ] {
        let reach = Reach { listed: listed(), http_loopback, ..reach() };
        assert_eq!(judged(&reach, &endpoints(), "PUT", url).is_ok(), allowed, "{url}");
    }
}

#[test]
fn everything_else_is_refused() {
    for (method, url) in [
        ("POST", "https://work.test/api/2.1/clusters/get"),
        ("GET", "https://work.test/api/2.1/clusters/list"),
        ("GET", "https://work.test/api/2.1/clusters/get/"),
        ("POST", "https://work.test/api/2.0/sql/warehouses//start"),
        ("POST", "https://work.test/api/2.0/sql/warehouses/a/b/start"),
        ("POST", "https://work.test/api/2.0/sql/warehouses/a%2Fb/start"),
        ("POST", "https://work.test/api/2.0/sql/warehouses/a%3Fb/start"),
        ("GET", "https://accounts.test/oidc/v1/token"),
        ("GET", "https://work.test/api/2.0/raw/x?a=b&Access%5Ftoken=1"),
    ] {
        assert!(verdict(method, url).is_err(), "{method} {url}");
    }
}

/// D16: methods are those of the list, as they are written there.
#[test]
fn methods_are_known_ones() {
    let url = "https://work.test/api/2.0/raw/x";
    for method in METHODS {
        assert_eq!(verdict(method, url), Ok(Pass::Authorized), "{method}");
    }
    for method in ["TRACE", "CONNECT", "FOO", "get", "Get", "PROPFIND", "GET /x HTTP/1.1", ""] {
        assert!(verdict(method, url).is_err(), "{method}");
    }
}

#[test]
fn the_rules_of_the_operator_come_last() {
    let error = verdict("POST", "https://work.test/api/2.0/raw/token/create").unwrap_err();
    assert!(error.contains("allow_credential_endpoints"), "{error}");
    let reach = Reach {
        rules: Rules::new(true, &["/api/2.0/raw/jobs/*".to_owned()], &[]).expect("rules"),
        ..reach()
    };
    for (method, url, allowed) in [
        ("GET", "https://work.test/api/2.0/raw/x", true),
        ("HEAD", "https://work.test/api/2.0/raw/x", true),
        ("POST", "https://work.test/api/2.0/raw/x", false),
        ("POST", "https://work.test/api/2.0/sql/warehouses/abc/start", false),
        ("PUT", "https://files.test/any", false),
        ("GET", "https://work.test/api/2.0/raw/jobs/list", false),
        ("GET", "https://work.test/api/2.0/raw/%6Aobs/list", false),
    ] {
        assert_eq!(judged(&reach, &endpoints(), method, url).is_ok(), allowed, "{method} {url}");
    }
}

/// D1, D2, D3, D5, D6, D10, D11: the whole list of `tests/vectors/urls.tsv`.
#[test]
fn the_vectors_get_their_verdicts() {
    let vectors = crate::vectors::read();
    let endpoints = [
        endpoint("GET", "/api/*", Audience::Workspace),
        endpoint("GET", "/serving-endpoints/*", Audience::Workspace),
        endpoint("GET", "/api/*", Audience::Account),
    ];
    let shown = [
        "/api/{version}/secrets/get",
        "/api/{version}/accounts/{account}/servicePrincipals/{id}/credentials/*",
        "/api/{version}/accounts/servicePrincipals/{id}/credentials/*",
    ];
    let shown = shown.map(|path| endpoint("*", path, Audience::Workspace));
    let reach = Reach { rules: Rules::new(false, &[], &shown).expect("rules"), ..reach() };
    assert!(vectors.len() >= 400, "{}", vectors.len());
    let mut wrong = Vec::new();
    for vector in vectors {
        let url = vector.url.replace("PORT", "8443");
        let verdict = match judged(&reach, &endpoints, "GET", &url) {
            Ok(Pass::Authorized) => "authorized",
            Ok(Pass::Bare) => "bare",
            Err(_) => "refused",
        };
        if verdict != vector.verdict {
            wrong.push(format!("{verdict} {:?} ({})", vector.url, vector.note));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

proptest! {
    /// D1, D15: an id in a path stays in its place: whatever it is, the request is the one that is declared, or none.
    #[test]
    fn ids_stay_in_their_place(id in "\\PC{1,20}|[./%25;?#\\\\a-z]{1,12}") {
        let escaped = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
        for id in [id.clone(), escaped.to_string()] {
            let url = format!("https://work.test/api/2.0/sql/warehouses/{id}/start");
            if verdict("POST", &url).is_ok() {
                let decoded = percent_encoding::percent_decode_str(&id).decode_utf8().expect("text");
                prop_assert!(!decoded.contains(['/', '\\', '?', '#']), "{}", url);
            }
        }
    }

    /// D1, D2, D6: no authority but the connection's own gets a request that carries credentials.
    #[test]
    fn only_the_own_host_is_authorized(authority in "(work\\.test)?[a-z0-9.:@%\\[\\]-]{0,24}(work\\.test)?(:443)?") {
        let own = ["work.test", "work.test:443", "accounts.test", "accounts.test:443"];
        if verdict("GET", &format!("https://{authority}/api/2.0/raw/x")) == Ok(Pass::Authorized) {
            prop_assert!(own.contains(&authority.to_ascii_lowercase().as_str()), "{}", authority);
        }
    }
}
