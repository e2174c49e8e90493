//! An SSH server that does what no honest one does: as much of the protocol as it takes to let a client in, and then
//! whatever a test makes of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use ring::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Listens; each connection gets a thread of its own, which ends with the connection.
pub(crate) fn listen(act: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = act.clone();
            std::thread::spawn(move || act(stream));
        }
    });
    address
}

/// Which cipher it insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// The lengths of packets are readable.
    Gcm,
    /// They are not.
    ChaCha,
}

/// Anybody is let in, whatever is executed prints what our bootstrap does, and then `act` begins. It ends when the
/// client has gone.
pub(crate) fn server(
    cipher: Cipher,
    act: impl Fn(&mut Session) -> std::io::Result<()> + Send + Sync + Clone + 'static,
) -> SocketAddr {
    listen(move |stream| {
        // Gone clients are what these tests are about.
        let _ = Session::begin(stream, cipher).and_then(|mut session| {
            session.log_in()?;
            act(&mut session)
        });
    })
}

enum Keys {
    Plain,
    Gcm(Box<GcmKeys>),
    ChaCha { seal: SealingKey, open: OpeningKey },
}

struct GcmKeys {
    seal: LessSafeKey,
    seal_iv: [u8; 12],
    open: LessSafeKey,
    open_iv: [u8; 12],
}

/// One connection.
pub(crate) struct Session {
    input: BufReader<TcpStream>,
    output: TcpStream,
    keys: Keys,
    sent: u32,
    received: u32,
    /// The client's number of its channel.
    pub(crate) channel: u32,
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Data of a channel's stream, 0 for standard output.
pub(crate) fn data(channel: u32, stream: u32, bytes: &[u8]) -> Vec<u8> {
    let mut packet = vec![if stream == 0 { 94 } else { 95 }];
    packet.extend(channel.to_be_bytes());
    if stream != 0 {
        packet.extend(stream.to_be_bytes());
    }
    packet.extend(string(bytes));
    packet
}

/// What a client and this server agree on.
pub(crate) fn kexinit(cipher: Cipher) -> Vec<u8> {
    let cipher = match cipher {
        Cipher::Gcm => "aes256-gcm@openssh.com",
        Cipher::ChaCha => "chacha20-poly1305@openssh.com",
    };
    let mut packet = vec![20];
    packet.extend([7; 16]);
    let mac = "hmac-sha2-256";
    for names in ["curve25519-sha256", "ssh-ed25519", cipher, cipher, mac, mac, "none", "none", "", ""] {
        packet.extend(string(names.as_bytes()));
    }
    packet.extend([0; 5]);
    packet
}

fn mpint(bytes: &[u8]) -> Vec<u8> {
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[from..];
    let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    string(&[sign, bytes].concat())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn next_nonce(iv: &mut [u8; 12]) -> Nonce {
    let nonce = Nonce::assume_unique_for_key(*iv);
    let count = u64::from_be_bytes(iv[4..].try_into().unwrap()).wrapping_add(1);
    iv[4..].copy_from_slice(&count.to_be_bytes());
    nonce
}

const HELLO: &str = "SSH-2.0-hostile";

impl Session {
    fn begin(stream: TcpStream, cipher: Cipher) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let output = stream.try_clone()?;
        let mut session = Self {
            input: BufReader::new(stream),
            output,
            keys: Keys::Plain,
            sent: 0,
            received: 0,
            channel: 0,
        };
        let mut line = String::new();
        write!(session.output, "{HELLO}\r\n")?;
        session.input.read_line(&mut line)?;
        let ours = kexinit(cipher);
        session.send(&ours)?;
        let theirs = session.receive()?;
        let init = session.receive_only(30)?;
        let public = &init[5..];
        let random = SystemRandom::new();
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
        let shown = ephemeral.compute_public_key().unwrap();
        let peer = UnparsedPublicKey::new(&X25519, public);
        let secret = agree_ephemeral(ephemeral, &peer, <[u8]>::to_vec).unwrap();
        let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let host_key = [string(b"ssh-ed25519"), string(key.public_key().as_ref())].concat();
        let hash = sha256(
            &[
                string(line.trim_end().as_bytes()),
                string(HELLO.as_bytes()),
                string(&theirs),
                string(&ours),
                string(&host_key),
                string(public),
                string(shown.as_ref()),
                mpint(&secret),
            ]
            .concat(),
        );
        let signature = [string(b"ssh-ed25519"), string(key.sign(&hash).as_ref())].concat();
        let reply = [vec![31], string(&host_key), string(shown.as_ref()), string(&signature)].concat();
        session.send(&reply)?;
        session.send(&[21])?;
        session.receive_only(21)?;
        let derived = |letter: u8| {
            let first = sha256(&[mpint(&secret), hash.clone(), vec![letter], hash.clone()].concat());
            let second = sha256(&[mpint(&secret), hash.clone(), first.clone()].concat());
            [first, second].concat()
        };
        session.keys = match cipher {
            Cipher::Gcm => {
                let key =
                    |letter| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derived(letter)[..32]).unwrap());
                let iv = |letter| derived(letter)[..12].try_into().unwrap();
                Keys::Gcm(Box::new(GcmKeys {
                    seal: key(b'D'),
                    seal_iv: iv(b'B'),
                    open: key(b'C'),
                    open_iv: iv(b'A'),
                }))
            }
            Cipher::ChaCha => {
                let key = |letter| <[u8; 64]>::try_from(&derived(letter)[..64]).unwrap();
                Keys::ChaCha { seal: SealingKey::new(&key(b'D')), open: OpeningKey::new(&key(b'C')) }
            }
        };
        Ok(session)
    }

    fn log_in(&mut self) -> std::io::Result<()> {
        self.receive_only(5)?;
        self.send(&[vec![6], string(b"ssh-userauth")].concat())?;
        self.receive_only(50)?;
        self.send(&[52])?;
        let open = self.receive_only(90)?;
        // string "session", then the client's number.
        self.channel = u32::from_be_bytes(open[12..16].try_into().unwrap());
        let mut confirmed = vec![91];
        for number in [self.channel, 0, 1 << 21, 32768] {
            confirmed.extend(number.to_be_bytes());
        }
        self.send(&confirmed)?;
        self.receive_only(98)?;
        self.send(&[vec![99], self.channel.to_be_bytes().to_vec()].concat())?;
        self.send(&data(self.channel, 0, b"maand-ready-1\n"))
    }

    /// The next packet of this type; others are passed over.
    pub(crate) fn receive_only(&mut self, kind: u8) -> std::io::Result<Vec<u8>> {
        loop {
            let packet = self.receive()?;
            if packet[0] == kind {
                return Ok(packet);
            }
        }
    }

    /// From here on the client may say what it likes.
    pub(crate) fn stop_listening(&mut self) {
        let mut input = self.output.try_clone().unwrap();
        std::thread::spawn(move || std::io::copy(&mut input, &mut std::io::sink()));
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let sequence = self.received;
        self.received = self.received.wrapping_add(1);
        let body = match &mut self.keys {
            Keys::Plain => {
                let mut body = vec![0; u32::from_be_bytes(length) as usize];
                self.input.read_exact(&mut body)?;
                body
            }
            Keys::Gcm(keys) => {
                let mut body = vec![0; u32::from_be_bytes(length) as usize + 16];
                self.input.read_exact(&mut body)?;
                let nonce = next_nonce(&mut keys.open_iv);
                keys.open.open_in_place(nonce, Aad::from(length), &mut body).unwrap();
                body.truncate(body.len() - 16);
                body
            }
            Keys::ChaCha { open, .. } => {
                let plain = open.decrypt_packet_length(sequence, length);
                let mut body = [&length[..], &vec![0; u32::from_be_bytes(plain) as usize]].concat();
                self.input.read_exact(&mut body[4..])?;
                let mut tag = [0; 16];
                self.input.read_exact(&mut tag)?;
                open.open_in_place(sequence, &mut body, &tag).unwrap().to_vec()
            }
        };
        Ok(body[1..body.len() - usize::from(body[0])].to_vec())
    }

    pub(crate) fn send(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let sealed = self.sealed(payload);
        self.output.write_all(&sealed)
    }

    /// Many in one write: floods are fast.
    pub(crate) fn send_many(&mut self, payloads: &[Vec<u8>]) -> std::io::Result<()> {
        let sealed: Vec<u8> = payloads.iter().flat_map(|payload| self.sealed(payload)).collect();
        self.output.write_all(&sealed)
    }

    fn sealed(&mut self, payload: &[u8]) -> Vec<u8> {
        let block = match self.keys {
            Keys::Plain | Keys::ChaCha { .. } => 8,
            Keys::Gcm(_) => 16,
        };
        let beside = if matches!(self.keys, Keys::Plain) { 5 } else { 1 };
        let padding = block - (payload.len() + beside) % block;
        let padding = if padding < 4 { padding + block } else { padding };
        let length = u32::try_from(1 + payload.len() + padding).unwrap().to_be_bytes();
        let mut body = [&[u8::try_from(padding).unwrap()], payload, &vec![0; padding]].concat();
        let sequence = self.sent;
        self.sent = self.sent.wrapping_add(1);
        match &mut self.keys {
            Keys::Plain => [&length[..], &body].concat(),
            Keys::Gcm(keys) => {
                let nonce = next_nonce(&mut keys.seal_iv);
                let tag = keys.seal.seal_in_place_separate_tag(nonce, Aad::from(length), &mut body).unwrap();
                [&length[..], &body, tag.as_ref()].concat()
            }
            Keys::ChaCha { seal, .. } => {
                let (mut whole, mut tag) = ([&length[..], &body].concat(), [0; 16]);
                seal.seal_in_place(sequence, &mut whole, &mut tag);
                [whole, tag.to_vec()].concat()
            }
        }
    }
}
