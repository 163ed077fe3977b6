//! Values that many calls share are stored once: names, clients, sessions, origins. While a batch is prepared each gets a
//! [`Local`] number; the transaction turns these into ids, from memory or by one statement per table.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{Call, Origin, SessionKey};

use crate::db::insert::{Kind, Record, Sink, Table};
use crate::db::transaction::{Advanced, Transaction};
use crate::rows::cache::Cache;
use crate::rows::hash::{Identity, key16, text_hash};
use crate::{Error, MemoryBudget};

/// A shared thing within one prepared batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local(usize);

/// The kinds of names. Frozen: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NameKind {
    /// Servers.
    Server = 0,
    /// Tools.
    Tool = 1,
    /// MCP methods.
    Method = 2,
    /// Prompts.
    Prompt = 3,
    /// Error types.
    ErrorType = 4,
}

#[derive(Debug)]
enum Shared {
    Name {
        kind: NameKind,
        text: String,
    },
    Client(Box<Client>),
    Session {
        server: Local,
        session: Option<SessionKey>,
        wire: Option<String>,
    },
    Origin(Arc<Origin>, Vec<u8>),
    /// A value that is stored already, by its id.
    Stored(i64),
}

#[derive(Debug)]
struct Client {
    texts: [Option<String>; 7],
    transport: Option<i16>,
}

/// The shared things of one batch, each once.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    seen: HashMap<Box<[u8]>, Local>,
    /// With the hashes that they are found by.
    entries: Vec<([u8; 16], Shared)>,
    /// Spans of one export share one origin: its address is enough, as long as it is held.
    origins: HashMap<usize, (Local, Arc<Origin>)>,
    scratch: Identity,
}

impl Interner {
    fn intern(&mut self, shared: impl FnOnce() -> Shared) -> Local {
        if let Some(local) = self.seen.get(self.scratch.as_bytes()) {
            return *local;
        }
        let local = Local(self.entries.len());
        let identity = self.scratch.as_bytes();
        self.entries.push((key16(identity), shared()));
        self.seen.insert(identity.into(), local);
        local
    }

    /// A name.
    pub(crate) fn name(&mut self, kind: NameKind, text: &str) -> Local {
        name_identity(&mut self.scratch, kind, text);
        self.intern(|| Shared::Name {
            kind,
            text: text.to_owned(),
        })
    }

    /// The caller, and how it called.
    pub(crate) fn client(&mut self, call: &Call) -> Local {
        let texts = [
            &call.client_name,
            &call.client_version,
            &call.client_ip,
            &call.country,
            &call.authorization,
            &call.user_agent,
            &call.protocol_version,
        ];
        let transport = call.transport.map(mcptap_model::Transport::code);
        self.scratch.start(b'c').number(transport.map_or(-1, i64::from));
        for text in texts {
            self.scratch.text(text.as_deref());
        }
        self.intern(|| {
            Shared::Client(Box::new(Client {
                texts: texts.map(Clone::clone),
                transport,
            }))
        })
    }

    /// The session of a call, together with its wire id; `None` where it has neither.
    pub(crate) fn session(&mut self, server: Local, call: &Call) -> Option<Local> {
        if call.session.is_none() && call.session_id.is_none() {
            return None;
        }
        let session = call.session.as_ref();
        self.scratch
            .start(b's')
            .text(Some(call.server_name()))
            .number(session.map_or(-1, |session| i64::from(session.source.code())))
            .text(session.map(|session| session.key.as_str()))
            .text(call.session_id.as_deref());
        Some(self.intern(|| Shared::Session {
            server,
            session: session.cloned(),
            wire: call.session_id.clone(),
        }))
    }

    /// One that knows the ids of these origins, which were read without their resources.
    pub(crate) fn knowing(origins: impl IntoIterator<Item = (i64, Arc<Origin>)>) -> Self {
        let mut interner = Self::default();
        for (id, origin) in origins {
            let local = Local(interner.entries.len());
            interner.entries.push(([0; 16], Shared::Stored(id)));
            let address = Arc::as_ptr(&origin) as usize;
            interner.origins.insert(address, (local, origin));
        }
        interner
    }

    /// The resource and scope of a span.
    pub(crate) fn origin(&mut self, origin: &Arc<Origin>) -> Local {
        let address = Arc::as_ptr(origin) as usize;
        if let Some((local, _)) = self.origins.get(&address) {
            return *local;
        }
        let resource = serde_json::to_vec(&origin.resource).unwrap_or_else(|_| b"{}".to_vec());
        self.scratch
            .start(b'o')
            .text(origin.service.as_deref())
            .text(origin.instance.as_deref())
            .text(Some(&origin.scope))
            .text(origin.scope_version.as_deref())
            .bytes(Some(&resource));
        let local = self.intern(|| Shared::Origin(Arc::clone(origin), resource));
        self.origins.insert(address, (local, Arc::clone(origin)));
        local
    }
}

fn name_identity(identity: &mut Identity, kind: NameKind, text: &str) {
    identity.start(b'n').number(kind as i64).text(Some(text));
}

/// The hash under which a name is found.
pub(crate) fn name_hash(kind: NameKind, text: &str) -> Vec<u8> {
    let mut identity = Identity::default();
    name_identity(&mut identity, kind, text);
    identity.hash16()
}

/// Ids by [`Local`].
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<i64>);

impl Ids {
    /// The id of a shared thing.
    pub(crate) fn of(&self, local: Local) -> i64 {
        self.0.get(local.0).copied().unwrap_or_default()
    }
}

/// The ids that this process has seen, by hash, valid for one epoch of the database. Forgotten ones are found again at the
/// price of a statement.
#[derive(Debug)]
pub(crate) struct Remembered {
    ids: Cache<[u8; 16], i64>,
    /// The epoch of the database, and how often memory was dropped.
    epoch: (i64, u64),
    /// The ids that the running transaction learned: only remembered when it commits.
    fresh: Vec<([u8; 16], i64)>,
}

impl Remembered {
    /// Nothing yet; takes its part of what the caches share.
    pub(crate) fn new(caches: &MemoryBudget) -> Self {
        Self {
            ids: Cache::new(caches),
            epoch: (0, 0),
            fresh: Vec::new(),
        }
    }

    /// Forgets everything: it may be half true.
    pub(crate) fn forget(&mut self) {
        self.fresh.clear();
        self.ids.clear();
    }

    /// Forgets everything when interned rows have been deleted since, or the database is another one.
    pub(crate) fn at_epoch(&mut self, advanced: Advanced) {
        self.fresh.clear();
        let epoch = (advanced.epoch, advanced.generation);
        if self.epoch != epoch {
            self.ids.clear();
            self.epoch = epoch;
        }
    }

    /// The transaction committed: what it learned holds.
    pub(crate) fn keep(&mut self) {
        for (hash, id) in self.fresh.drain(..) {
            self.ids.put(hash, id, 0);
        }
    }

    /// The ids of a batch's shared things, storing those that are new.
    pub(crate) async fn resolve(&mut self, tx: &mut Transaction, interner: Interner) -> Result<Ids, Error> {
        let mut ids = Ids(vec![0; interner.entries.len()]);
        let mut missing = Vec::new();
        for (index, (hash, shared)) in interner.entries.into_iter().enumerate() {
            if let Shared::Stored(id) = shared {
                set(&mut ids, index, id);
                continue;
            }
            match self.ids.get(&hash) {
                Some(id) => set(&mut ids, index, id),
                None => missing.push(Missing { index, hash, shared }),
            }
        }
        if missing.is_empty() {
            return Ok(ids);
        }
        // Sessions stand under the ids of their servers: names come first.
        let (names, missing): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|missing| matches!(missing.shared, Shared::Name { .. }));
        self.store::<NameRow>(tx, names, &mut ids).await?;
        let (sessions, missing): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|missing| matches!(missing.shared, Shared::Session { .. }));
        self.store::<SessionRow>(tx, sessions, &mut ids).await?;
        let (clients, origins): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|missing| matches!(missing.shared, Shared::Client(_)));
        self.store::<ClientRow>(tx, clients, &mut ids).await?;
        self.store::<OriginRow>(tx, origins, &mut ids).await?;
        Ok(ids)
    }

    async fn store<R: SharedRow>(
        &mut self,
        tx: &mut Transaction,
        missing: Vec<Missing>,
        ids: &mut Ids,
    ) -> Result<(), Error> {
        let mut places: HashMap<[u8; 16], usize> = HashMap::with_capacity(missing.len());
        let mut rows = Vec::with_capacity(missing.len());
        for Missing { index, hash, shared } in missing {
            places.insert(hash, index);
            rows.extend(R::new(hash.to_vec(), shared, ids));
        }
        for row in tx.insert(rows.into_iter()).await? {
            let id: i64 = row.try_get_by_index(0)?;
            let hash: Vec<u8> = row.try_get_by_index(1)?;
            if let Some((hash, index)) = places.remove_entry(hash.as_slice()) {
                set(ids, index, id);
                self.fresh.push((hash, id));
            }
        }
        Ok(())
    }
}

fn set(ids: &mut Ids, index: usize, id: i64) {
    if let Some(place) = ids.0.get_mut(index) {
        *place = id;
    }
}

struct Missing {
    index: usize,
    hash: [u8; 16],
    shared: Shared,
}

trait SharedRow: Record + Sized {
    fn new(hash: Vec<u8>, shared: Shared, ids: &Ids) -> Option<Self>;
}

/// Gives the id whether the row is new or not.
const FIND_OR_ADD: &str = "ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING id, hash";

struct NameRow(Vec<u8>, NameKind, String);

impl SharedRow for NameRow {
    fn new(hash: Vec<u8>, shared: Shared, _: &Ids) -> Option<Self> {
        if let Shared::Name { kind, text } = shared {
            Some(Self(hash, kind, text))
        } else {
            None
        }
    }
}

impl Record for NameRow {
    const TABLE: Table = Table {
        name: "names",
        columns: &[
            ("hash", Kind::Bytes),
            ("kind", Kind::Integer),
            ("text", Kind::Text),
        ],
        conflict: FIND_OR_ADD,
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.bytes(Some(self.0));
        sink.integer(Some(self.1 as i64));
        sink.text(Some(self.2));
    }
}

struct SessionRow {
    hash: Vec<u8>,
    server: i64,
    session: Option<SessionKey>,
    wire: Option<String>,
}

impl SharedRow for SessionRow {
    fn new(hash: Vec<u8>, shared: Shared, ids: &Ids) -> Option<Self> {
        let Shared::Session {
            server,
            session,
            wire,
        } = shared
        else {
            return None;
        };
        Some(Self {
            hash,
            server: ids.of(server),
            session,
            wire,
        })
    }
}

impl Record for SessionRow {
    const TABLE: Table = Table {
        name: "sessions",
        columns: &[
            ("hash", Kind::Bytes),
            ("server", Kind::Integer),
            ("source", Kind::Integer),
            ("key_hash", Kind::Integer),
            ("key", Kind::Text),
            ("wire_hash", Kind::Integer),
            ("wire", Kind::Text),
        ],
        conflict: FIND_OR_ADD,
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.bytes(Some(self.hash));
        sink.integer(Some(self.server));
        sink.integer(
            self.session
                .as_ref()
                .map(|session| i64::from(session.source.code())),
        );
        sink.integer(self.session.as_ref().map(|session| text_hash(&session.key)));
        sink.text(self.session.map(|session| session.key));
        sink.integer(self.wire.as_deref().map(text_hash));
        sink.text(self.wire);
    }
}

struct ClientRow(Vec<u8>, Client);

impl SharedRow for ClientRow {
    fn new(hash: Vec<u8>, shared: Shared, _: &Ids) -> Option<Self> {
        if let Shared::Client(client) = shared {
            Some(Self(hash, *client))
        } else {
            None
        }
    }
}

impl Record for ClientRow {
    const TABLE: Table = Table {
        name: "clients",
        columns: &[
            ("hash", Kind::Bytes),
            ("name", Kind::Text),
            ("version", Kind::Text),
            ("ip", Kind::Text),
            ("country", Kind::Text),
            ("authorization", Kind::Text),
            ("user_agent", Kind::Text),
            ("protocol_version", Kind::Text),
            ("transport", Kind::Integer),
        ],
        conflict: FIND_OR_ADD,
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.bytes(Some(self.0));
        for text in self.1.texts {
            sink.text(text);
        }
        sink.integer(self.1.transport.map(i64::from));
    }
}

struct OriginRow(Vec<u8>, Arc<Origin>, Vec<u8>);

impl SharedRow for OriginRow {
    fn new(hash: Vec<u8>, shared: Shared, _: &Ids) -> Option<Self> {
        if let Shared::Origin(origin, resource) = shared {
            Some(Self(hash, origin, resource))
        } else {
            None
        }
    }
}

impl Record for OriginRow {
    const TABLE: Table = Table {
        name: "origins",
        columns: &[
            ("hash", Kind::Bytes),
            ("service", Kind::Text),
            ("instance", Kind::Text),
            ("scope", Kind::Text),
            ("scope_version", Kind::Text),
            ("resource", Kind::Bytes),
        ],
        conflict: FIND_OR_ADD,
    };

    fn bind(self, sink: &mut impl Sink) {
        sink.bytes(Some(self.0));
        sink.text(self.1.service.clone());
        sink.text(self.1.instance.clone());
        sink.text(Some(self.1.scope.clone()));
        sink.text(self.1.scope_version.clone());
        sink.bytes(Some(self.2));
    }
}
