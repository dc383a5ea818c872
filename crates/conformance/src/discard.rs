//! A server that throws bytes away: it answers as the service would, and costs as little as a server can.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Serves on a free port of this machine until the process ends.
///
/// # Errors
///
/// When there is no port to listen on.
pub fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its thread.
            thread::spawn(move || talk(stream).ok());
        }
    });
    Ok(address)
}

fn talk(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    loop {
        let (mut first, mut length, mut expects, mut tree_hash) =
            (String::new(), 0, false, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if first.is_empty() {
                line.clone_into(&mut first);
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "expect" => expects = true,
                "x-amz-sha256-tree-hash" => value.trim().clone_into(&mut tree_hash),
                _ => {}
            }
        }
        if expects {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        writer.write_all(answer(&first, &tree_hash).as_bytes())?;
    }
}

fn answer(request: &str, tree_hash: &str) -> String {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let header = |status: &str, header: &str| {
        format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\n\r\n")
    };
    let json = |text: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
    };
    if method == "PUT" && path.contains("/multipart-uploads/") {
        return format!("HTTP/1.1 204 No Content\r\nx-amz-sha256-tree-hash: {tree_hash}\r\n\r\n");
    }
    if method == "POST" && path.ends_with("/multipart-uploads") {
        return header("201 Created", "x-amz-multipart-upload-id: upload");
    }
    if method == "POST" {
        return header("201 Created", "x-amz-archive-id: archive");
    }
    if path.contains("/multipart-uploads") {
        return json(r#"{"Marker":null,"Parts":[],"UploadsList":[]}"#);
    }
    json(concat!(
        r#"{"CreationDate":"2012-02-20T17:01:45.198Z","LastInventoryDate":null,"NumberOfArchives":0,"SizeInBytes":0,"#,
        r#""VaultARN":"arn:aws:glacier:us-east-1:012345678901:vaults/v","VaultName":"v"}"#
    ))
}
