//! `ringside profile`: device profiles and what was measured of the devices.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{CliError, STATUS_FAILED, print, unwritten};
use crate::profile::{
    Device, Validation, fit, render_fit, render_json, render_list, render_page, render_text,
    validate,
};

#[derive(Args, Debug)]
pub(super) struct Profile {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the profiles that are built in
    List,
    /// Print a profile's file
    Show {
        /// Name of a built-in profile, or path of a profile file
        #[arg(value_name = "PROFILE|FILE")]
        profile: String,
    },
    /// Simulate what was measured, and say how far off the simulation is
    Validate(Validate),
    /// Search the parameters with which the simulation comes nearest to what was measured
    Fit(Fit),
}

#[derive(Args, Debug)]
struct Validate {
    /// Names of built-in profiles, or paths of profile files [default: every built-in profile with
    /// measurements]
    #[arg(value_name = "PROFILE|FILE")]
    profiles: Vec<String>,
    /// Write an HTML page with plots
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Fit {
    /// Name of a built-in profile, or path of a profile file
    #[arg(value_name = "PROFILE|FILE")]
    profile: String,
    /// Write the profile with the parameters found
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Also fit without each size, and say how well it is predicted
    #[arg(long)]
    leave_out: bool,
}

impl Profile {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        match &self.command {
            Command::List => print(&render_list(&Device::builtins()))?,
            Command::Show { profile } => print(&Device::find(profile)?.text)?,
            Command::Validate(validate) => return validate.execute(),
            Command::Fit(fit) => fit.execute()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Validate {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let mut devices = Vec::new();
        for name in &self.profiles {
            devices.push(Device::find(name)?);
        }
        if self.profiles.is_empty() {
            devices = Device::builtins();
            devices.retain(|device| !device.series.is_empty());
        }
        let validations: Vec<Validation> =
            devices.iter().map(validate).collect::<Result<_, _>>()?;
        if let Some(path) = &self.report {
            let page = render_page(&validations);
            std::fs::write(path, page).map_err(|source| unwritten(path, source))?;
        }
        if self.json {
            print(&render_json(&validations))?;
        } else {
            print(&render_text(&validations))?;
        }
        let holds = validations.iter().all(Validation::holds);
        Ok(ExitCode::from(if holds { 0 } else { STATUS_FAILED }))
    }
}

impl Fit {
    fn execute(&self) -> Result<(), CliError> {
        let found = fit(&Device::find(&self.profile)?, self.leave_out)?;
        if let Some(path) = &self.write {
            std::fs::write(path, &found.device.text).map_err(|source| unwritten(path, source))?;
        }
        print(&render_fit(&found))
    }
}
