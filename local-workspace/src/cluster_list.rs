//! The list of clusters: filters, order and pages of API 2.1, and the one page of 2.0.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::clusters::{Cluster, Clusters};
use crate::reply::{Answer, Reply};

const DEFAULT_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// `/api/2.1/clusters/list`.
pub(crate) fn paged(clusters: &Clusters, call: &Call<'_>) -> Answer {
    let size = match call.query("page_size").map(|size| size.parse::<usize>()) {
        None => DEFAULT_PAGE,
        Some(Ok(size)) if (1..=LARGEST_PAGE).contains(&size) => size,
        Some(_) => return Err(Reply::invalid("page_size must be between 1 and 100")),
    };
    let start = call.query("page_token").map_or(Ok(0), |token| offset(&token))?;
    let mut all: Vec<Map<String, Value>> = clusters
        .settled()
        .iter()
        .filter(|cluster| wanted(cluster, call))
        .map(|cluster| summary(&cluster.details))
        .collect();
    sort(&mut all, call);
    let total = all.len();
    let page: Vec<_> = all.into_iter().skip(start).take(size.min(clusters.page_limit)).collect();
    if page.is_empty() && start == 0 {
        return Ok(Reply::empty());
    }
    let next = start + page.len();
    Ok(Reply::ok(&json!({
        "clusters": page,
        "next_page_token": if next < total { token(next) } else { String::new() },
        "prev_page_token": if start > 0 { token(start.saturating_sub(size)) } else { String::new() },
    })))
}

/// `/api/2.0/clusters/list`.
pub(crate) fn whole(clusters: &Clusters) -> Answer {
    let all: Vec<_> = clusters.settled().iter().map(|cluster| summary(&cluster.details)).collect();
    Ok(if all.is_empty() { Reply::empty() } else { Reply::ok(&json!({ "clusters": all })) })
}

/// Lists leave the specification out.
fn summary(details: &Map<String, Value>) -> Map<String, Value> {
    details.iter().filter(|(key, _)| *key != "spec").map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn wanted(cluster: &Cluster, call: &Call<'_>) -> bool {
    let one_of = |key: &str, field: &str| {
        let asked = call.query_all(key);
        let value = cluster.details.get(field).and_then(Value::as_str).unwrap_or_default();
        asked.is_empty() || asked.iter().any(|asked| asked == value)
    };
    // The Python SDK spells booleans `False` in queries.
    let pinned = call
        .query("filter_by.is_pinned")
        .is_none_or(|pinned| !pinned.eq_ignore_ascii_case("true") || cluster.pinned);
    pinned
        && one_of("filter_by.cluster_states", "state")
        && one_of("filter_by.cluster_sources", "cluster_source")
        && one_of("filter_by.policy_id", "policy_id")
}

fn sort(all: &mut [Map<String, Value>], call: &Call<'_>) {
    let name = |cluster: &Map<String, Value>| {
        cluster.get("cluster_name").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if call.query("sort_by.field").as_deref() == Some("CLUSTER_NAME") {
        all.sort_by_cached_key(name);
    }
    if call.query("sort_by.direction").as_deref() == Some("DESC") {
        all.reverse();
    }
}

fn token(offset: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("clusters:{offset}"))
}

fn offset(token: &str) -> Result<usize, Reply> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| text.strip_prefix("clusters:")?.parse().ok())
        .ok_or_else(|| Reply::invalid("page_token is not valid"))
}
