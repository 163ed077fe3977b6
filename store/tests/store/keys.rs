//! Keys: made, used, listed, revoked; views; the audit of it all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcptap_model::{Access, CallFilter, NewKey, Scope, UnixNanos};
use mcptap_store::{Actor, Denied, Error, Gate, PageRequest, Reach, RevokedKey, ViewContent, has_keys};
use sea_orm::ConnectionTrait;

use crate::support::{Place, on_both};

on_both!(
    the_first_key_shuts_the_gate,
    nobody_acts_without_a_key_after_the_first,
    of_many_first_keys_one_is_made,
    keys_end_wherever_they_are_in_use,
    changes_of_other_processes_arrive,
    a_key_made_elsewhere_is_itself_from_the_first_moment,
    damaged_rows_let_nobody_in,
    secrets_are_nowhere_in_the_database,
    last_use_is_noted_at_the_end,
    views_have_owners,
    a_damaged_view_is_left_out_and_can_be_deleted,
);

fn new(name: &str, scopes: &[Scope]) -> NewKey {
    NewKey {
        name: name.into(),
        scopes: scopes.to_vec(),
        ..NewKey::default()
    }
}

fn soon(milliseconds: u64) -> UnixNanos {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(milliseconds);
    UnixNanos(at.as_nanos() as i64)
}

/// The reason, which must come.
async fn ended(gate: &Gate, access: &Access) -> Denied {
    tokio::time::timeout(Duration::from_secs(30), gate.ended(access))
        .await
        .expect("the end is told")
}

async fn the_first_key_shuts_the_gate(place: &Place) {
    assert!(!has_keys(&place.url).await.unwrap());
    let (_writer, store) = place.open().await;
    let gate = store.gate();
    assert!(!gate.keys_exist() && !has_keys(&place.url).await.unwrap());
    let anybody = gate.admit(None).await.unwrap();
    assert!(Scope::ALL.iter().all(|scope| anybody.may(*scope)));
    assert_eq!(gate.admit(Some("anything")).await, Ok(Access::everything()));

    let bound = NewKey {
        servers: vec!["shop".into()],
        ..new("reader", &[Scope::Read])
    };
    let (key, secret) = store.create_key(bound, Actor::Anybody).await.unwrap();
    assert!(gate.keys_exist() && has_keys(&place.url).await.unwrap());
    assert_eq!(ended(gate, &anybody).await, Denied::Missing);
    assert_eq!(gate.admit(None).await, Err(Denied::Missing));
    assert_eq!(gate.admit(Some("mcptap_no")).await, Err(Denied::Unknown));
    let access = gate.admit(Some(secret.reveal())).await.unwrap();
    assert!(access.may(Scope::Read) && !access.may(Scope::Ingest) && !access.may(Scope::Payloads));
    assert!(access.reaches("shop") && !access.reaches("other"));
    assert_eq!(store.keys().await.unwrap(), [key]);
}

async fn nobody_acts_without_a_key_after_the_first(place: &Place) {
    let (_writer, here) = place.open().await;
    let (_other_writer, there) = place.open().await;
    let content = |name: &str| ViewContent {
        name: name.into(),
        filter: "{}".into(),
        columns: Vec::new(),
        last_seconds: None,
    };
    let by = Actor::Anybody;
    let view = here
        .save_view(None, content("before"), by)
        .await
        .unwrap()
        .unwrap();
    let (key, _) = there
        .create_key(new("first", &[Scope::Admin]), Actor::CommandLine)
        .await
        .unwrap();
    // Whether this process has heard of it or not.
    let refused = |error: Error| matches!(error, Error::Denied(Denied::Missing));
    let thief = new("thief", &[Scope::Admin]);
    assert!(here.create_key(thief, by).await.is_err_and(refused));
    assert!(here.revoke_key(key.id, by).await.is_err_and(refused));
    let saved = here.save_view(None, content("after"), by).await;
    assert!(saved.is_err_and(refused));
    let updated = here.update_view(view.id, content("after"), Reach::All, by).await;
    assert!(updated.is_err_and(refused));
    assert!(
        here.delete_view(view.id, Reach::All, by)
            .await
            .is_err_and(refused)
    );
    let erased = here.erase(CallFilter::default(), by, "all".into()).await;
    assert!(erased.is_err_and(refused));
    assert_eq!(here.keys().await.unwrap(), [key]);
    assert_eq!(here.views(Reach::All).await.unwrap(), [view]);
    let audit = here.audit(PageRequest::default()).await.unwrap().items;
    let acts: Vec<&str> = audit.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(acts, ["createApiKey", "saveView"]);
}

async fn of_many_first_keys_one_is_made(place: &Place) {
    let (_writer, here) = place.open().await;
    let (_other_writer, there) = place.open().await;
    let make = |number: usize| {
        let store = if number.is_multiple_of(2) { &here } else { &there };
        store.create_key(new("first", &[Scope::Admin]), Actor::Anybody)
    };
    let made = futures_util::future::join_all((0..16).map(make)).await;
    for failed in made.iter().filter_map(|made| made.as_ref().err()) {
        assert!(matches!(failed, Error::Denied(Denied::Missing)), "{failed}");
    }
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    assert_eq!(here.keys().await.unwrap().len(), 1);
}

async fn keys_end_wherever_they_are_in_use(place: &Place) {
    let (_writer, store) = place.open().await;
    let gate = store.gate();
    let (revoked, secret) = store
        .create_key(new("a", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    let access = gate.admit(Some(secret.reveal())).await.unwrap();
    let (told, key) = tokio::join!(
        ended(gate, &access),
        store.revoke_key(revoked.id, Actor::CommandLine)
    );
    assert_eq!(told, Denied::Revoked);
    let Some(RevokedKey::Readable(key)) = key.unwrap() else {
        panic!("it is a key");
    };
    assert!(key.revoked_at.is_some());
    assert_eq!(gate.admit(Some(secret.reveal())).await, Err(Denied::Revoked));
    // Again it changes nothing, and what is not there is not revoked.
    assert_eq!(
        store.revoke_key(key.id, Actor::CommandLine).await.unwrap(),
        Some(RevokedKey::Readable(key))
    );
    assert_eq!(store.revoke_key(999, Actor::CommandLine).await.unwrap(), None);
    // Without a key that holds, the gate stays shut.
    assert_eq!(gate.admit(None).await, Err(Denied::Missing));

    let end = soon(3_000);
    let short = NewKey {
        expires_at: Some(end),
        ..new("short", &[Scope::Read])
    };
    let (_, secret) = store.create_key(short, Actor::CommandLine).await.unwrap();
    let access = gate.admit(Some(secret.reveal())).await.unwrap();
    assert_eq!(ended(gate, &access).await, Denied::Expired(end));
    assert_eq!(gate.admit(Some(secret.reveal())).await, Err(Denied::Expired(end)));
}

async fn changes_of_other_processes_arrive(place: &Place) {
    let (_writer, here) = place.open().await;
    let (_other_writer, there) = place.open().await;
    let anybody = here.gate().admit(None).await.unwrap();
    let (key, secret) = there
        .create_key(new("a", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    // Whoever has it already is known at once.
    let known = here.gate().admit(Some(secret.reveal())).await.unwrap();
    assert_eq!(known.key().map(|key| key.id), Some(key.id));
    assert_eq!(ended(here.gate(), &anybody).await, Denied::Missing);
    // One more is looked up when it is first used, before it would have arrived, also right after a stranger.
    let (_, second) = there
        .create_key(new("b\u{202e}\"", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    assert_eq!(
        here.gate().admit(Some("mcptap_stranger")).await,
        Err(Denied::Unknown)
    );
    let access = here.gate().admit(Some(second.reveal())).await.unwrap();
    assert!(access.may(Scope::Read));
    let access = here.gate().admit(Some(secret.reveal())).await.unwrap();
    there.revoke_key(key.id, Actor::CommandLine).await.unwrap();
    assert_eq!(ended(here.gate(), &access).await, Denied::Revoked);
    let told = here.audit(PageRequest::default()).await.unwrap().items;
    let told: Vec<_> = told
        .iter()
        .map(|entry| (entry.what.as_str(), entry.subject.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("revokeApiKey", "key 1 \"a\" (read), on the command line"),
            (
                "createApiKey",
                "key 2 \"b\u{202e}\\\"\" (read), on the command line"
            ),
            ("createApiKey", "key 1 \"a\" (read), on the command line"),
        ]
    );
}

async fn a_key_made_elsewhere_is_itself_from_the_first_moment(place: &Place) {
    let (_writer, here) = place.open().await;
    let (_other_writer, there) = place.open().await;
    // Somebody keeps presenting secrets while no key exists.
    assert_eq!(here.gate().admit(Some("no key")).await, Ok(Access::everything()));
    let (first, secret) = there
        .create_key(new("first", &[Scope::Ingest]), Actor::CommandLine)
        .await
        .unwrap();
    let asking = (0..50).map(|number| {
        let (gate, secret) = (here.gate().clone(), secret.reveal().to_owned());
        tokio::spawn(async move {
            let secret = if number % 2 == 0 {
                secret
            } else {
                format!("no {number}")
            };
            (number, gate.admit(Some(&secret)).await)
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        let (number, admitted) = asked.await.unwrap();
        if number % 2 == 0 {
            assert_eq!(admitted.unwrap().key().map(|key| key.id), Some(first.id));
        } else {
            assert_eq!(admitted, Err(Denied::Unknown));
        }
    }
    // From here on the gate is known to be shut.
    assert_eq!(here.gate().admit(None).await, Err(Denied::Missing));

    // One that was revoked before it was ever used here, and one that expired.
    let (revoked, secret) = there
        .create_key(new("revoked", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    there.revoke_key(revoked.id, Actor::CommandLine).await.unwrap();
    assert_eq!(
        here.gate().admit(Some(secret.reveal())).await,
        Err(Denied::Revoked)
    );
    let end = soon(1);
    let expired = NewKey {
        expires_at: Some(end),
        ..new("expired", &[Scope::Read])
    };
    let (_, secret) = there.create_key(expired, Actor::CommandLine).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(
        here.gate().admit(Some(secret.reveal())).await,
        Err(Denied::Expired(end))
    );
}

async fn damaged_rows_let_nobody_in(place: &Place) {
    let (_writer, store) = place.open().await;
    let sqlite = place.file().is_some();
    let db = place.connect().await;
    let hash = if sqlite { "x'00'" } else { "'\\x00'::bytea" };
    let insert = |hash: &str, scopes: i32, servers: &str| {
        format!(
            "INSERT INTO api_keys (name, hash, scopes, servers, created_at) VALUES ('a', {hash}, {scopes}, {servers}, 1)"
        )
    };
    db.execute_unprepared(&insert(hash, 15, "NULL")).await.unwrap();
    assert!(has_keys(&place.url).await.unwrap());
    // It is read at the first secret, and shuts the gate.
    let gate = store.gate();
    assert_eq!(gate.admit(Some("anything")).await, Err(Denied::Unknown));
    assert_eq!(gate.admit(None).await, Err(Denied::Missing));
    assert!(gate.keys_exist());

    // Good keys hold beside it, and are revoked beside it.
    let (good, secret) = store
        .create_key(new("good", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    assert!(gate.admit(Some(secret.reveal())).await.is_ok());
    assert_eq!(store.keys().await.unwrap(), std::slice::from_ref(&good));

    // The secret of a row whose other columns are damaged opens nothing either.
    for (number, broken) in [
        "scopes = -1",
        "scopes = 16 + 1",
        "servers = '[]'",
        "servers = 'shop'",
        "servers = '[1]'",
    ]
    .into_iter()
    .enumerate()
    {
        let (key, secret) = store
            .create_key(new("broken", &[Scope::Read]), Actor::CommandLine)
            .await
            .unwrap();
        db.execute_unprepared(&format!("UPDATE api_keys SET {broken} WHERE id = {}", key.id))
            .await
            .unwrap();
        assert_eq!(
            ended(gate, &Access::of(key.into())).await,
            Denied::Revoked,
            "{broken}"
        );
        assert_eq!(
            gate.admit(Some(secret.reveal())).await,
            Err(Denied::Unknown),
            "{broken}"
        );
        assert_eq!(store.damaged_keys().await.unwrap().len(), number + 2);
    }
    if sqlite {
        // SQLite keeps text in a column of numbers.
        db.execute_unprepared(
            "UPDATE api_keys SET scopes = 'all', expires_at = 'never' WHERE name = 'broken'",
        )
        .await
        .unwrap();
    }
    assert_eq!(store.damaged_keys().await.unwrap().len(), 6);
    store.revoke_key(good.id, Actor::CommandLine).await.unwrap();
    assert_eq!(gate.admit(Some(secret.reveal())).await, Err(Denied::Revoked));
    for damaged in store.damaged_keys().await.unwrap() {
        let revoked = store.revoke_key(damaged.id, Actor::CommandLine).await.unwrap();
        assert_eq!(revoked, Some(RevokedKey::Damaged(damaged)));
    }
    assert_eq!(store.damaged_keys().await.unwrap(), []);
    drop(store);
    // Also when it is there from the start.
    let (_writer, store) = place.open().await;
    assert_eq!(store.gate().admit(None).await, Err(Denied::Missing));
}

async fn secrets_are_nowhere_in_the_database(place: &Place) {
    let (writer, store) = place.open().await;
    let (_, secret) = store
        .create_key(new("a", &[Scope::Admin]), Actor::CommandLine)
        .await
        .unwrap();
    store.gate().admit(Some(secret.reveal())).await.unwrap();
    drop(writer);
    store.close().await;
    if let Some(file) = place.file() {
        let bytes = std::fs::read(file).unwrap();
        let needle = secret.reveal().as_bytes();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        // What is stored is the hash.
        assert!(bytes.windows(8).any(|window| window == b"api_keys"));
    }
}

async fn last_use_is_noted_at_the_end(place: &Place) {
    let (writer, store) = place.open().await;
    let (_, secret) = store
        .create_key(new("a", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    let (unused, _) = store
        .create_key(new("b", &[Scope::Read]), Actor::CommandLine)
        .await
        .unwrap();
    store.gate().admit(Some(secret.reveal())).await.unwrap();
    // Not at every use.
    assert_eq!(store.keys().await.unwrap()[0].last_used_at, None);
    drop(writer);
    store.close().await;
    let (_writer, store) = place.open().await;
    let keys = store.keys().await.unwrap();
    assert!(keys[0].last_used_at.is_some());
    assert_eq!(keys[1], unused);
}

async fn a_damaged_view_is_left_out_and_can_be_deleted(place: &Place) {
    let (_writer, store) = place.open().await;
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let content = ViewContent {
            name: name.into(),
            filter: "{}".into(),
            columns: vec!["tool".into()],
            last_seconds: None,
        };
        let view = store.save_view(None, content, Actor::Anybody).await.unwrap();
        ids.push(view.unwrap().id);
    }
    let damage = format!("UPDATE views SET columns = 'x' WHERE id = {}", ids[0]);
    place.connect().await.execute_unprepared(&damage).await.unwrap();
    let left: Vec<i64> = store
        .views(Reach::All)
        .await
        .unwrap()
        .iter()
        .map(|view| view.id)
        .collect();
    assert_eq!(left, ids[1..]);
    assert_eq!(store.metrics().rows_damaged, 1);
    assert!(
        store
            .delete_view(ids[0], Reach::All, Actor::Anybody)
            .await
            .unwrap()
    );
    assert!(
        !store
            .delete_view(ids[0], Reach::All, Actor::Anybody)
            .await
            .unwrap()
    );
}

async fn views_have_owners(place: &Place) {
    let (_writer, store) = place.open().await;
    let content = |name: &str| ViewContent {
        name: name.into(),
        filter: r#"{"tools":["a"]}"#.into(),
        columns: vec!["tool".into(), "outcome".into()],
        last_seconds: Some(3_600),
    };
    let save = async |owner, name: &str| {
        store
            .save_view(owner, content(name), Actor::Key(1))
            .await
            .unwrap()
            .unwrap()
    };
    let (mine, theirs, shared) = (
        save(Some(1), "mine").await,
        save(Some(2), "theirs").await,
        save(None, "all").await,
    );
    assert_eq!(mine.content, content("mine"));
    assert_eq!(
        store.views(Reach::Own(1)).await.unwrap(),
        [shared.clone(), mine.clone()]
    );
    assert_eq!(
        store.views(Reach::Bound(1)).await.unwrap(),
        std::slice::from_ref(&mine)
    );
    assert_eq!(store.views(Reach::All).await.unwrap().len(), 3);

    let update = async |id, reach| {
        let changed = store
            .update_view(id, content("renamed"), reach, Actor::Key(1))
            .await;
        changed.unwrap().map(|view| view.content.name)
    };
    assert_eq!(update(theirs.id, Reach::Own(1)).await, None);
    assert_eq!(update(shared.id, Reach::Own(1)).await, None);
    assert_eq!(update(mine.id, Reach::Own(1)).await.as_deref(), Some("renamed"));
    assert_eq!(update(shared.id, Reach::All).await.as_deref(), Some("renamed"));
    let delete = async |id, reach| store.delete_view(id, reach, Actor::Key(1)).await.unwrap();
    assert!(!delete(theirs.id, Reach::Own(1)).await);
    assert!(delete(mine.id, Reach::Own(1)).await);
    assert!(!delete(mine.id, Reach::Own(1)).await);
    for number in 0..199 {
        save(None, &format!("view {number}")).await;
    }
    let full = store
        .save_view(None, content("more"), Actor::Key(1))
        .await
        .unwrap();
    assert_eq!(full, None);
    assert_eq!(store.views(Reach::Own(3)).await.unwrap().len(), 200);
}
