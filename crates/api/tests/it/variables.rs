//! Variables: kinds, levels, references, import and export, history, the secret-read log.

use control::variables::Purpose;
use serde_json::{Value, json};
use testkit::{As, Person, Reply, TestServer};

use crate::tree;

struct Place {
    server: TestServer,
    owner: Person,
    project: String,
    environment: String,
    service: String,
}

impl Place {
    async fn new() -> Self {
        let server = TestServer::new().await.unwrap();
        let owner = server.owner().await.unwrap();
        let (project, environment) = tree::project(&server, &owner, "Shop").await;
        let service = tree::service(&server, &owner, &environment, "Web").await;
        Self { server, owner, project, environment, service }
    }

    fn path(&self) -> String {
        format!("/services/{}/variables", self.service)
    }

    async fn set(&self, path: &str, variables: &[(&str, &str, &str)]) -> Reply {
        let set: Vec<Value> = variables.iter().map(|(name, kind, value)| json!({ "name": name, "kind": kind, "value": value })).collect();
        tree::patch(&self.server, &self.owner, path, json!({ "set": set })).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.server.get(path, As::Session(&self.owner)).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.server.post(path, As::Session(&self.owner), body).await.unwrap()
    }

    async fn resolved(&self) -> control::Result<control::variables::ResolvedVariables> {
        let purpose = Purpose { release: Some(3), commit: Some("abc".into()), ..Purpose::default() };
        self.server.control.resolve_variables(self.owner.organization, self.service.parse().unwrap(), &purpose).await
    }
}

#[tokio::test]
async fn hidden_values_are_shown_by_reveal_only_and_sealed_ones_never() {
    let place = Place::new().await;
    let path = place.path();
    place.set(&path, &[("A", "plain", "a"), ("B", "secret", "b3cr3t"), ("C", "sealed", "c3cr3t")]).await.expect(200).unwrap();
    let list = place.get(&path).await.expect(200).unwrap();
    assert_eq!(list.json["data"][0]["value"], "a");
    assert!(!list.text.contains("b3cr3t") && !list.text.contains("c3cr3t"), "{}", list.text);
    let shown = place.post(&format!("{path}/B/reveal"), json!({ "reason": "an outage" })).await.expect(200).unwrap();
    assert_eq!(shown.text_at("/value"), "b3cr3t");
    place.post(&format!("{path}/C/reveal"), json!({})).await.expect_problem(403, "forbidden").unwrap();
    let audit = place.get(&format!("/organizations/{}/audit-events", place.owner.organization)).await.expect(200).unwrap();
    assert!(
        audit.text.contains("variable.revealed") && audit.text.contains("an outage") && !audit.text.contains("b3cr3t"),
        "{}",
        audit.text
    );
    let raw = place.get(&format!("{path}/raw")).await.expect(200).unwrap();
    assert_eq!(raw.text, "A=a\n# B= (secret, not shown)\n# C= (sealed, not shown)\n");
    let raw = place.get(&format!("{path}/raw?reveal=true")).await.expect(200).unwrap();
    assert_eq!(raw.text, "A=a\nB=b3cr3t\n# C= (sealed, not shown)\n");
    // Without a password given lately.
    place.server.clock.advance(chrono::TimeDelta::minutes(30));
    place.post(&format!("{path}/B/reveal"), json!({})).await.expect_problem(401, "step-up-required").unwrap();
    place.get(&format!("{path}/raw?reveal=true")).await.expect_problem(401, "step-up-required").unwrap();
}

#[tokio::test]
async fn values_reach_the_release_with_their_levels_references_and_masks() {
    let place = Place::new().await;
    let database = tree::service(&place.server, &place.owner, &place.environment, "db").await;
    place
        .set(&format!("/projects/{}/variables", place.project), &[("LEVEL", "plain", "project"), ("P", "plain", "p")])
        .await
        .expect(200)
        .unwrap();
    place.set(&format!("/environments/{}/variables", place.environment), &[("LEVEL", "plain", "environment")]).await.expect(200).unwrap();
    place.set(&format!("/services/{database}/variables"), &[("PASSWORD", "secret", "pa$$word")]).await.expect(200).unwrap();
    let nasty = "-----BEGIN-----\nit's \"x\"\\\n";
    place
        .set(&place.path(), &[("URL_OF_DB", "plain", "postgres://u:${{db.PASSWORD}}@${{db.HOST}}:${{db.PORT}}"), ("PEM", "sealed", nasty)])
        .await
        .expect(200)
        .unwrap();
    let resolved = place.resolved().await.unwrap();
    let value = |name: &str| resolved.values[name].reveal().clone();
    assert_eq!(
        (value("LEVEL"), value("P"), value("PORT"), value("SEAWAY_RELEASE"), value("SEAWAY_COMMIT")),
        ("environment".into(), "p".into(), "3000".into(), "v3".into(), "abc".into())
    );
    assert_eq!(value("URL_OF_DB"), "postgres://u:pa$$word@db:3000");
    assert_eq!(value("PEM"), nasty);
    assert!(resolved.hidden.contains("URL_OF_DB") && resolved.hidden.contains("PEM") && !resolved.hidden.contains("P"));
    assert!(resolved.masks.iter().any(|mask| mask.reveal() == "pa$$word"));
    assert_eq!(resolved.services.iter().collect::<Vec<_>>(), ["db"]);
    let audit = place.get(&format!("/organizations/{}/audit-events", place.owner.organization)).await.expect(200).unwrap();
    assert!(
        audit.text.contains("variables.read") && audit.text.contains("db.PASSWORD") && !audit.text.contains("pa$$word"),
        "{}",
        audit.text
    );
    place.set(&place.path(), &[("BROKEN", "plain", "${{project.MISSING}}")]).await.expect(200).unwrap();
    let error = format!("{:?}", place.resolved().await.unwrap_err());
    assert!(error.contains("Invalid project environment variable: project.MISSING"), "{error}");
}

#[tokio::test]
async fn a_change_makes_releases_of_those_it_concerns() {
    let place = Place::new().await;
    let database = tree::service(&place.server, &place.owner, &place.environment, "db").await;
    place.set(&format!("/services/{database}/variables"), &[("PASSWORD", "secret", "one")]).await.expect(200).unwrap();
    place.set(&place.path(), &[("X", "plain", "${{db.PASSWORD}}")]).await.expect(200).unwrap();
    tree::deploy(&place.server, &place.owner, &place.service).await;
    let quiet = tree::patch(
        &place.server,
        &place.owner,
        &format!("{}?deploy=false", place.path()),
        json!({ "set": [{ "name": "Y", "value": "1" }] }),
    )
    .await;
    assert_eq!(quiet.expect(200).unwrap().json["deployments"], json!([]));
    let told = place.set(&format!("/services/{database}/variables"), &[("PASSWORD", "secret", "two")]).await.expect(200).unwrap();
    assert_eq!(told.json["deployments"].as_array().unwrap().len(), 1, "the service that refers to it: {}", told.text);
    place.server.work().await.unwrap();
    let releases = place.get(&format!("/services/{}/releases", place.service)).await.expect(200).unwrap();
    assert_eq!(releases.json["data"].as_array().unwrap().len(), 2, "{}", releases.text);
    let told = place.set(&place.path(), &[("X", "plain", "${{db.PASSWORD}}")]).await.expect(200).unwrap();
    assert_eq!((&told.json["unchanged"], &told.json["deployments"]), (&json!(["X"]), &json!([])), "nothing changed, nothing happens");
}

#[tokio::test]
async fn import_previews_replaces_and_names_wrong_lines() {
    let place = Place::new().await;
    let path = place.path();
    place.set(&path, &[("KEEP", "plain", "1"), ("OLD", "plain", "1"), ("SECRET", "secret", "s")]).await.expect(200).unwrap();
    let text = "KEEP=1\nexport NEW='a b'\nSECRET=t # comment\n";
    let preview = place.post(&format!("{path}/import?dry_run=true"), json!({ "text": text, "replace": true })).await.expect(200).unwrap();
    assert_eq!(
        (&preview.json["added"], &preview.json["changed"], &preview.json["removed"], &preview.json["unchanged"]),
        (&json!(["NEW"]), &json!(["SECRET"]), &json!(["OLD"]), &json!(["KEEP"]))
    );
    assert_eq!(place.get(&path).await.expect(200).unwrap().json["data"].as_array().unwrap().len(), 3, "a preview changes nothing");
    place.post(&format!("{path}/import"), json!({ "text": text, "replace": true })).await.expect(200).unwrap();
    let list = place.get(&path).await.expect(200).unwrap();
    let kinds: Vec<(&str, &str)> =
        list.json["data"].as_array().unwrap().iter().map(|row| (row["name"].as_str().unwrap(), row["kind"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("KEEP", "plain"), ("NEW", "plain"), ("SECRET", "secret")], "a secret stays one");
    let refused = place
        .post(&format!("{path}/import"), json!({ "text": "A=1\nnonsense\nSEAWAY_X=s3cr3t" }))
        .await
        .expect_problem(422, "invalid")
        .unwrap();
    assert!(refused.text.contains("line 2") && refused.text.contains("line 3") && !refused.text.contains("s3cr3t"), "{}", refused.text);
}

#[tokio::test]
async fn a_whole_set_is_guarded_and_keeps_what_has_no_value() {
    let place = Place::new().await;
    let path = place.path();
    place.set(&path, &[("A", "plain", "1"), ("S", "sealed", "s")]).await.expect(200).unwrap();
    let put = async |version: Option<&str>, variables: Value| {
        let mut request =
            place.server.request("PUT".parse().unwrap(), &path, As::Session(&place.owner)).json(&json!({ "variables": variables }));
        if let Some(version) = version {
            request = request.header("if-match", version);
        }
        place.server.send(request).await.unwrap()
    };
    put(None, json!([])).await.expect_problem(428, "precondition-required").unwrap();
    let list = place.get(&path).await.expect(200).unwrap();
    let tag = list.header("etag").unwrap().to_owned();
    put(Some(&tag), json!([{ "name": "S" }, { "name": "B", "value": "2" }])).await.expect(200).unwrap();
    put(Some(&tag), json!([])).await.expect_problem(412, "precondition-failed").unwrap();
    put(Some("*"), json!([{ "name": "NEW" }])).await.expect_problem(422, "invalid").unwrap();
    let resolved = place.resolved().await.unwrap();
    assert_eq!(
        (resolved.values["S"].reveal().as_str(), resolved.values["B"].reveal().as_str(), resolved.values.contains_key("A")),
        ("s", "2", false)
    );
}

#[tokio::test]
async fn a_version_is_restored_and_stays_as_hidden_as_it_was() {
    let place = Place::new().await;
    let path = place.path();
    for value in ["one", "two", "three"] {
        place.set(&path, &[("S", "secret", value)]).await.expect(200).unwrap();
    }
    let versions = place.get(&format!("{path}/S/versions")).await.expect(200).unwrap();
    assert_eq!(versions.json["data"].as_array().unwrap().len(), 3);
    assert!(versions.json["data"][0]["author"].is_string() && !versions.text.contains("three"), "{}", versions.text);
    place.post(&format!("{path}/S/restore"), json!({ "version": 1 })).await.expect(200).unwrap();
    assert_eq!(place.post(&format!("{path}/S/reveal"), json!({})).await.expect(200).unwrap().text_at("/value"), "one");
    place.post(&format!("{path}/S/restore"), json!({ "version": 99 })).await.expect_problem(404, "not-found").unwrap();
    // Sealed now: an older version does not come back readable.
    place.set(&path, &[("S", "sealed", "four")]).await.expect(200).unwrap();
    place.post(&format!("{path}/S/restore"), json!({ "version": 2 })).await.expect(200).unwrap();
    place.post(&format!("{path}/S/reveal"), json!({})).await.expect_problem(403, "forbidden").unwrap();
    assert_eq!(place.resolved().await.unwrap().values["S"].reveal(), "two");
}

#[tokio::test]
async fn single_variables_files_and_what_is_refused() {
    let place = Place::new().await;
    let path = place.path();
    let put = async |path: String, body: Value| place.server.put(&path, As::Session(&place.owner), body).await.unwrap();
    put(format!("{path}/A"), json!({ "value": "1" })).await.expect(200).unwrap();
    place.server.delete(&format!("{path}/A"), As::Session(&place.owner)).await.unwrap().expect(200).unwrap();
    place.server.delete(&format!("{path}/A"), As::Session(&place.owner)).await.unwrap().expect_problem(422, "invalid").unwrap();
    for (name, value) in [("1A", "x"), ("SEAWAY_COMMIT", "x"), ("A", "a\u{0}b")] {
        let refused = place.set(&path, &[(name, "plain", value)]).await.expect_problem(422, "invalid").unwrap();
        assert!(refused.text_at("/errors/0/pointer").starts_with("/set/0/"), "{}", refused.text);
    }
    place.set(&path, &[("A", "plain", &"x".repeat(64 * 1024 + 1))]).await.expect_problem(422, "invalid").unwrap();
    let files = format!("/services/{}/files", place.service);
    put(format!("{files}/app.toml"), json!({ "value": "key = 1\n" })).await.expect(200).unwrap();
    put(format!("{files}/.hidden"), json!({ "value": "x" })).await.expect_problem(422, "invalid").unwrap();
    let list = place.get(&files).await.expect(200).unwrap();
    assert_eq!(
        (list.text_at("/data/0/name"), list.text_at("/data/0/kind"), &list.json["data"][0]["value"]),
        ("app.toml", "secret", &json!(null))
    );
    assert_eq!(place.resolved().await.unwrap().files["app.toml"].reveal(), "key = 1\n");
}
