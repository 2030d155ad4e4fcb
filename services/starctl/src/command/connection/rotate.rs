//! `starctl connection rotate`: the next secret of a connection, sealed into the file that holds the one before. Offline;
//! neither secret is ever shown.

use document::{Code, Fault};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::cli::connection::RotateArgs;
use crate::command::{secret, view};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;

pub(super) fn run(args: &RotateArgs, output: &Output) -> Result<u8, Failure> {
    let name = super::plain(&args.name);
    let path = &args.file;
    let keys = secret::master_keys(&args.keys)?;
    if !path.exists() {
        let fault = Fault::new(Code::NoSuchFile, "there is no secret yet that another one could follow");
        let hint = "starctl secret seal makes the first";
        return Err(Failure::of(fault.in_file(path.display().to_string()).hint(hint), exit::NOT_FOUND));
    }
    let before = secret::sealed(path)?;
    // It is opened before anything is written: a file of another connection, or one whose master key is gone, stays.
    let known = before.open(&name, &keys).map_err(|fault| secret::at(path, fault))?;
    let next = next(args)?;
    if next.expose_secret() == known.expose_secret() {
        let fault = Fault::new(Code::CliUsage, "it is the secret that the file holds already");
        return Err(Failure::of(fault.in_file(path.display().to_string()), exit::CONFLICT));
    }
    let version = before.version + 1;
    let sealed = secret::write(path, &name, version, &next, &keys)?;
    let item = json!({
        "connection": name,
        "version": version,
        "before": before.version,
        "master_key": sealed.master(),
        "file": path.display().to_string(),
    });
    output.one(&view::ROTATED, &item)?;
    output.remark(&output.pick(
        format!(
            "what is left: put this file wherever services mount it; each reads it when it starts, and when the system \
             refuses the secret before; then starctl connection test {name}, and take the old secret back in the system"
        ),
        format!(
            "尚需：将此文件放到各服务挂载之处；服务在启动时、以及系统拒绝旧密钥时读取它；然后执行 \
             starctl connection test {name}，并在系统中作废旧密钥"
        ),
    ))?;
    Ok(exit::DONE)
}

/// The secret that follows.
fn next(args: &RotateArgs) -> Result<SecretString, Failure> {
    let Some(path) = &args.from else { return secret::from_stdin() };
    let place = path.display().to_string();
    match private_file::read(path)? {
        Some(text) => secret::a_secret(&place, text),
        None => {
            let fault = Fault::new(Code::NoSuchFile, "there is no such file").in_file(place);
            Err(Failure::of(fault, exit::NOT_FOUND))
        }
    }
}
