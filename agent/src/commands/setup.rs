//! What several commands begin with: the plugins that can be had, and the configuration.

use std::path::PathBuf;

use headwater_plugin_api::abi::pool;

use crate::config::{
    self, AgentConfig, Diagnostic, Environment, LoadOptions, Plan, PluginSchema, Schemas,
};
use crate::loader::{Registry, Welcome, directories};

use super::flags::Options;
use super::linked;
use super::schemas::RegistrySchemas;

/// No plugins: for reading `[agent]` alone.
struct NoSchemas;

impl Schemas for NoSchemas {
    fn schema(&self, _: config::PluginKind, name: &str) -> Result<PluginSchema, String> {
        Err(format!("{name} was not asked for"))
    }

    fn names(&self, _: config::PluginKind) -> Vec<String> {
        Vec::new()
    }
}

/// The plugins that can be had, as command line, environment and `[agent]` say. What is wrong with
/// the configuration is told when it is read for good.
pub fn registry(options: &Options, environment: &dyn Environment) -> Registry {
    let configured = agent_table(&options.load, environment)
        .map_or_else(Vec::new, |agent| agent.plugin_directories);
    registry_with(&options.plugin_directories, &configured)
}

/// The same without a configuration.
pub fn registry_with(flags: &[PathBuf], configured: &[PathBuf]) -> Registry {
    let program = std::env::current_exe().ok();
    let variable = std::env::var_os(directories::VARIABLE);
    let directories = directories::search_path(
        flags,
        variable.as_deref(),
        configured,
        directories::defaults(program.as_deref()),
    );
    headwater_plugin_api::abi::memory::set_host_memory(&pool::FUNCTIONS);
    let welcome =
        Welcome { memory: Some(&pool::FUNCTIONS), panic: crate::observe::panics::in_plugin };
    Registry::new(directories, linked::families(), welcome)
}

/// `[agent]` alone, which says where plugins are, before there are plugins.
fn agent_table(options: &LoadOptions, environment: &dyn Environment) -> Option<AgentConfig> {
    let section_filter = Some(vec!["agent".to_owned()]);
    let options = LoadOptions { section_filter, ..options.clone() };
    config::load(&options, environment, &NoSchemas).0.map(|plan| plan.agent)
}

/// Reads the configuration.
pub fn load(
    options: &LoadOptions,
    environment: &dyn Environment,
    registry: &Registry,
) -> (Option<Plan>, Vec<Diagnostic>) {
    config::load(options, environment, &RegistrySchemas(registry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Vars;
    use crate::observe::testing::Folder;

    #[test]
    fn plugins_are_looked_for_where_flag_and_file_say() {
        let folder = Folder::new("setup");
        let file = folder.path().join("a.toml");
        let (flag, configured) = (folder.path().join("flag"), folder.path().join("configured"));
        for path in [&flag, &configured] {
            std::fs::create_dir(path).unwrap();
        }
        let text = format!(
            "[agent]\nplugin_directories = ['{}']\n[[inputs.no_such_thing]]\n",
            configured.display()
        );
        std::fs::write(&file, text).unwrap();
        let load = LoadOptions { files: vec![file], ..LoadOptions::default() };
        let options =
            Options { load, plugin_directories: vec![flag.clone()], ..Options::default() };
        let registry = registry(&options, &Vars(Vec::new()));
        let found: Vec<_> = registry.directories().iter().map(|d| d.path.clone()).collect();
        let at = |path: &PathBuf| found.iter().position(|found| found == path);
        assert_eq!(at(&flag), Some(0));
        assert!(at(&configured) > Some(0), "{found:?}");
    }
}
