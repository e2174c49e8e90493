//! Who we are: keys in files, in agents and by default, and certificates of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64ct::Encoding;
use maand::ssh::{Cancel, ConnectError, Remote, Settings, Ssh2Remote};

use crate::ssh_hosts::{attempt, refused};
use crate::ssh_trust::{authority, line, public, reconfigure, run, with_config};
use crate::support::{Fleet, wait_until};

/// A running ssh-agent; it ends when it is dropped.
struct Agent {
    socket: PathBuf,
    process: Child,
}

impl Agent {
    fn start(fleet: &Fleet, keys: &[&Path]) -> Self {
        let socket = fleet.folder().join("agent.sock");
        let process =
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        wait_until("the agent is there", || socket.exists());
        let agent = Self { socket, process };
        keys.iter().for_each(|key| agent.add(key));
        agent
    }

    fn add(&self, key: &Path) {
        let out = Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

#[test]
fn an_agent_with_many_keys_does_not_hide_the_right_one() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let strangers: Vec<_> = (0..8).map(|n| authority(&fleet, &format!("stranger{n}"))).collect();
    let agent = Agent::start(&fleet, &strangers.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    agent.add(&fleet.key());
    let settings =
        |text: &str| Settings { key: None, agent: Some(agent.socket.clone()), ..with_config(&fleet, text) };
    // Six keys that do not fit, and the server hangs up: said, and not tried for ever.
    let error = refused(settings(""), &host);
    assert!(
        matches!(&error, ConnectError::AuthRefused { why, .. } if why.contains("IdentitiesOnly")),
        "{error}"
    );
    // Named, it comes first: by its file, or by its public half alone.
    attempt(settings("IdentityFile ~/worker.key\n"), &host).unwrap();
    fs::copy(public(&fleet.key()), fleet.folder().join("named.pub")).unwrap();
    attempt(settings("IdentityFile ~/named.pub\n"), &host).unwrap();
    attempt(settings("IdentityFile ~/named\nIdentitiesOnly yes\n"), &host).unwrap();
    let error = refused(settings("IdentityFile ~/stranger1.pub\nIdentitiesOnly yes\n"), &host);
    assert!(
        matches!(&error, ConnectError::AuthRefused { why, .. } if why.contains("stranger1.pub")),
        "{error}"
    );
    // By IdentityAgent alone, and not without it.
    let by_config = |text: &str| Settings { key: None, ..with_config(&fleet, text) };
    attempt(by_config("IdentityFile ~/named.pub\nIdentityAgent ~/agent.sock\n"), &host).unwrap();
    let error = refused(settings("IdentityFile ~/named.pub\nIdentityAgent none\n"), &host);
    assert!(error.to_string().contains("named.pub"), "{error}");
    let error = refused(by_config("IdentityAgent ~/nothing.sock\n"), &host);
    assert!(error.to_string().contains("nothing.sock"), "{error}");
    let text = "IdentityFile ~/named.pub\nPubkeyAcceptedAlgorithms rsa-sha2-512\nIdentitiesOnly yes\n";
    let error = refused(settings(text), &host);
    assert!(error.to_string().contains("PubkeyAcceptedAlgorithms at"), "{error}");
}

#[test]
fn an_agent_that_asks_somebody_does_not_hold_us() {
    use std::io::{Read, Write};
    let Some(fleet) = Fleet::start(1) else { return };
    // It has the key, and never signs: it waits for a confirmation that nobody gives.
    let socket = fleet.folder().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let blob = base64ct::Base64::decode_vec(line(&fleet.key()).split(' ').nth(1).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            if request[4] == 11 {
                let length = u32::try_from(blob.len()).unwrap();
                let mut answer = vec![12, 0, 0, 0, 1];
                answer.extend(length.to_be_bytes());
                answer.extend(&blob);
                answer.extend([0; 4]);
                stream.write_all(&u32::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
            kept.push(stream);
        }
    });
    let settings = Settings { key: None, agent: Some(socket), ..fleet.settings() };
    let remote = Ssh2Remote::new(settings);
    let until = Instant::now() + Duration::from_secs(3);
    let error = remote.connect(&fleet.host(0), until, &Cancel::new()).err().unwrap();
    assert!(matches!(&error, ConnectError::LoginTimedOut { why, .. } if why.contains("agent")), "{error}");
}

#[test]
fn default_identities_are_tried_and_never_in_the_way() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let path = |name: &str| fleet.folder().join(name);
    fs::copy(fleet.key(), path("id_ed25519")).unwrap();
    let locked = path("id_ecdsa");
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "secret", "-f", &locked.display().to_string()]);
    fs::write(path("id_rsa"), "not a key\n").unwrap();
    fs::set_permissions(path("id_rsa"), fs::Permissions::from_mode(0o644)).unwrap();
    let identities = ["id_rsa", "id_ecdsa", "id_none", "id_ed25519"].map(path).to_vec();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let ask: maand::ssh::AskPassphrase = Arc::new(move |_: &Path| {
        count.fetch_add(1, Ordering::SeqCst);
        None
    });
    let settings = |text: &str| Settings {
        key: None,
        default_identities: identities.clone(),
        ask_passphrase: Some(Arc::clone(&ask)),
        ..with_config(&fleet, text)
    };
    attempt(settings(""), &host).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody wants the locked key");
    let error = refused(settings("IdentityFile none\n"), &host);
    assert!(error.to_string().contains("no key to try"), "{error}");
    // One that the server wants is asked for.
    run(
        "ssh-keygen",
        &["-q", "-p", "-P", "", "-N", "secret", "-f", &path("id_ed25519").display().to_string()],
    );
    let error = refused(settings(""), &host);
    assert!(matches!(&error, ConnectError::KeyFile { why, .. } if why.contains("passphrase")), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn certificates_of_users_get_in_by_file_and_by_agent() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let ca = authority(&fleet, "user-ca");
    let lines = format!("TrustedUserCAKeys {}\nAuthorizedKeysFile none", public(&ca).display());
    reconfigure(&fleet, 0, &lines);
    let path = |name: &str| fleet.folder().join(name);
    let sign = |key: &Path, validity: &str| {
        let (ca, key) = (ca.display().to_string(), public(key).display().to_string());
        run("ssh-keygen", &["-q", "-s", &ca, "-I", "a user", "-n", "root", "-V", validity, &key]);
    };
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = path(kind);
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", &key.display().to_string()]);
        let settings = || Settings { key: Some(key.clone()), ..fleet.settings() };
        assert!(matches!(refused(settings(), &host), ConnectError::AuthRefused { .. }));
        sign(&key, "+1h");
        attempt(settings(), &host).unwrap();
    }
    // Somewhere else, named by CertificateFile; expired, which is said.
    let key = path("ed25519");
    fs::rename(path("ed25519-cert.pub"), path("elsewhere")).unwrap();
    let settings = |text: &str| Settings { key: None, ..with_config(&fleet, text) };
    let text = "IdentityFile ~/ed25519\nCertificateFile ~/elsewhere\n";
    attempt(settings(text), &host).unwrap();
    sign(&key, "20200101:20210101");
    let error = refused(settings("IdentityFile ~/ed25519\n"), &host);
    assert!(error.to_string().contains("expired"), "{error}");
    // In a file, while the key is in the agent.
    for kind in ["rsa", "ecdsa"] {
        fs::rename(path(&format!("{kind}-cert.pub")), path("certificate")).unwrap();
        let agent = Agent::start(&fleet, &[&path(kind)]);
        let text = format!("IdentityFile ~/{kind}.pub\nCertificateFile ~/certificate\nIdentitiesOnly yes\n");
        attempt(Settings { agent: Some(agent.socket.clone()), ..settings(&text) }, &host).unwrap();
        fs::rename(path("certificate"), path(&format!("{kind}-cert.pub"))).unwrap();
    }
    // RSA by SHA-2, too.
    {
        let agent = Agent::start(&fleet, &[&path("rsa")]);
        attempt(Settings { agent: Some(agent.socket.clone()), ..settings("IdentityFile none\n") }, &host)
            .unwrap();
    }
    // From an agent, with and without a name for it.
    sign(&key, "+1h");
    let agent = Agent::start(&fleet, &[&key]);
    let by_agent = |text: &str| Settings { agent: Some(agent.socket.clone()), ..settings(text) };
    attempt(by_agent(""), &host).unwrap();
    fs::rename(&key, path("moved")).unwrap();
    attempt(by_agent("IdentityFile ~/ed25519\nIdentitiesOnly yes\n"), &host).unwrap();
}

/// Keys on a security token, as an agent has them: it signs the hash of the application, flags, a counter and the hash of
/// the message (OpenSSH's PROTOCOL.u2f).
enum Token {
    Ed25519(ring::signature::Ed25519KeyPair),
    Ecdsa(ring::signature::EcdsaKeyPair),
}

impl Token {
    const APPLICATION: &[u8] = b"ssh:";

    fn both() -> [Self; 2] {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
        let random = ring::rand::SystemRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ecdsa = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ecdsa = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ecdsa.as_ref(), &random);
        [Self::Ed25519(Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap()), Self::Ecdsa(ecdsa.unwrap())]
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::Ecdsa(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn blob(&self) -> Vec<u8> {
        use ring::signature::KeyPair;
        let of_key = match self {
            Self::Ed25519(key) => string(key.public_key().as_ref()),
            Self::Ecdsa(key) => [string(b"nistp256"), string(key.public_key().as_ref())].concat(),
        };
        [string(self.kind().as_bytes()), of_key, string(Self::APPLICATION)].concat()
    }

    /// As a line of a `.pub` file.
    fn line(&self) -> String {
        format!("{} {} token\n", self.kind(), base64ct::Base64::encode_string(&self.blob()))
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        use sha2::Digest;
        let touched_and_counter = [1, 0, 0, 1, 2];
        let hash = |bytes: &[u8]| sha2::Sha256::digest(bytes).to_vec();
        let signed = [hash(Self::APPLICATION), touched_and_counter.to_vec(), hash(data)].concat();
        let signature = match self {
            Self::Ed25519(key) => key.sign(&signed).as_ref().to_vec(),
            Self::Ecdsa(key) => {
                let both = key.sign(&ring::rand::SystemRandom::new(), &signed).unwrap();
                let number = |bytes: &[u8]| {
                    let from = bytes.iter().position(|byte| *byte != 0).unwrap();
                    let sign = if bytes[from] > 127 { vec![0] } else { vec![] };
                    string(&[&sign, &bytes[from..]].concat())
                };
                [number(&both.as_ref()[..32]), number(&both.as_ref()[32..])].concat()
            }
        };
        [string(self.kind().as_bytes()), string(&signature), touched_and_counter.to_vec()].concat()
    }

    /// Serves as an agent for ever.
    fn serve(self, socket: &Path) {
        use std::io::{Read, Write};
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let answer = move |request: &[u8]| match request[0] {
            11 => [vec![12, 0, 0, 0, 1], string(&self.blob()), string(b"token")].concat(),
            13 => {
                let length = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
                let data = 5 + length(1);
                assert_eq!(&request[5..data], self.blob(), "asked to sign with the key");
                [vec![14], string(&self.sign(&request[data + 4..data + 4 + length(data)]))].concat()
            }
            _ => vec![5],
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let mut request = vec![0; u32::from_be_bytes(length) as usize];
                    stream.read_exact(&mut request).unwrap();
                    stream.write_all(&string(&answer(&request))).unwrap();
                }
            }
        });
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn keys_on_security_tokens_get_in_by_an_agent() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let ca = authority(&fleet, "token-ca");
    for token in Token::both() {
        let path = |name: &str| fleet.folder().join(name);
        let (kind, key) = (token.kind(), path(token.kind()));
        fs::write(public(&key), token.line()).unwrap();
        let authorized = path("authorized_tokens");
        fs::write(&authorized, token.line()).unwrap();
        let authorized = format!("AuthorizedKeysFile {}", authorized.display());
        reconfigure(&fleet, 0, &authorized);
        let settings = |text: &str| Settings { key: None, ..with_config(&fleet, text) };
        // Alone it is only a name.
        let error = refused(settings(&format!("IdentityFile ~/{kind}\n")), &host);
        assert!(error.to_string().contains("agent"), "{kind}: {error}");
        let socket = path(&format!("{kind}.sock"));
        token.serve(&socket);
        let with_agent = |text: &str| Settings { agent: Some(socket.clone()), ..settings(text) };
        attempt(with_agent("IdentityFile none\n"), &host).unwrap();
        attempt(with_agent(&format!("IdentityFile ~/{kind}.pub\nIdentitiesOnly yes\n")), &host).unwrap();
        let trusted = format!("TrustedUserCAKeys {}\nAuthorizedKeysFile none", public(&ca).display());
        reconfigure(&fleet, 0, &trusted);
        let (ca, key) = (ca.display().to_string(), public(&key).display().to_string());
        run("ssh-keygen", &["-q", "-s", &ca, "-I", "a user", "-n", "root", "-V", "+1h", &key]);
        attempt(with_agent(&format!("IdentityFile ~/{kind}.pub\nIdentitiesOnly yes\n")), &host).unwrap();
    }
}
