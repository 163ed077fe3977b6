//! mcptap inside the test's own process.

use std::net::SocketAddr;
use std::ops::Deref;

use mcptap::{Server, Settings};

use super::{Client, Database};

/// A running server and a client of it, over a database of its own.
pub(crate) struct TestServer {
    client: Client,
    server: Server,
    settings: Settings,
    database: Database,
}

impl Deref for TestServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestServer {
    /// On a new SQLite database.
    pub(crate) async fn start() -> Self {
        Self::on(Database::sqlite()).await
    }

    /// On this database.
    pub(crate) async fn on(database: Database) -> Self {
        Self::with(database, Settings::default()).await
    }

    /// With these settings; what they leave open is as tests want it: free ports, and everything kept, because the
    /// spans of tests are of a certain day.
    pub(crate) async fn with(database: Database, settings: Settings) -> Self {
        let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)).into());
        let settings = settings.over(Settings {
            listen: free.clone(),
            otlp_grpc: free.clone(),
            otlp_http: free,
            database_url: Some(database.url().to_owned()),
            retention: Some("off".to_owned()),
            ..Settings::default()
        });
        let (client, server) = launch(&settings).await;
        Self {
            client,
            server,
            settings,
            database,
        }
    }

    /// On this database, reached by another URL.
    pub(crate) async fn at(database: Database, url: String) -> Self {
        let settings = Settings {
            database_url: Some(url),
            ..Settings::default()
        };
        Self::with(database, settings).await
    }

    /// Stops, and starts on the same database, on other ports.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            server,
            settings,
            database,
            ..
        } = self;
        server.stop().await.unwrap();
        let (client, server) = launch(&settings).await;
        Self {
            client,
            server,
            settings,
            database,
        }
    }

    /// Stops, and leaves the database.
    pub(crate) async fn stop(self) -> Database {
        self.server.stop().await.unwrap();
        self.database
    }

    /// Its store, as the commands of the binary open it beside a running server.
    pub(crate) async fn store_beside(&self) -> (mcptap_store::Writer, mcptap_store::Store) {
        let options = mcptap_store::Options {
            retention: None,
            ..mcptap_store::Options::default()
        };
        mcptap_store::open(self.database.url(), options).await.unwrap()
    }

    /// Another server on the same database, as a replica is.
    pub(crate) async fn beside(&self) -> (Client, Server) {
        launch(&self.settings).await
    }

    /// The database under it.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}

async fn launch(settings: &Settings) -> (Client, Server) {
    let server = Server::start(&settings.clone().resolve().unwrap()).await.unwrap();
    (
        Client::new(server.listen, server.otlp_grpc, server.otlp_http),
        server,
    )
}
