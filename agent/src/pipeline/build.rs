//! From a checked plan to instances: everything is made once, so that what is wrong with it shows
//! before anything runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_plugin_api::abi::instance::{
    AggregatorInstance, InputInstance, OutputInstance, ParserInstance, ProcessorInstance,
    SerializerInstance, ServiceInstance,
};
use headwater_plugin_api::abi::module::{DescriptorRef, OutputPlugin};
use headwater_plugin_api::abi::serve;
use headwater_plugin_api::abi::shared::SharedProcessor;
use headwater_plugin_api::config::{TableSchema, quote};
use headwater_plugin_api::plugin::{Capabilities, Context, Error, ErrorKind, Level};

use super::budget::Budget;
use super::calls::Calls;
use super::clock::{Clock, duration_ns};
use super::core::{Core, Rendering};
use super::host::{PluginHost, Services};
use super::input::{Input, Shown};
use super::modify::{NamesWhen, Shaping};
use super::output::{Output, OutputSettings};
use super::polled::Schedule;
use super::reactor::Reactor;
use super::shared::SharedSlot;
use super::slot::Slot;
use super::stage::{
    AggregatorStage, Instances, Maker, ProcessorStage, Reached, StageCounters, Timer,
};
use crate::config::{
    Common, Diagnostic, Format, LogLevel, Naming, Plan, Plugin, PluginText, Severity, ShowBadLines,
    StartupError,
};
use crate::delivery::Settlements;
use crate::loader::{InputKind, LoadError, Loaded, PluginKind, resident};
use crate::observe::{Log, Logger};

/// What an input is made of.
pub enum Source {
    /// Gathered at intervals; whether its points compare with the gather before.
    Gathered(Slot<InputInstance>, Schedule, bool),
    /// Runs by itself.
    Service(Slot<ServiceInstance>),
}

/// An input before it runs.
pub struct BuiltInput {
    /// What all inputs have.
    pub input: Arc<Input>,
    /// Its kind.
    pub source: Source,
    /// What happens if it cannot start.
    pub startup: StartupError,
}

/// An output before it runs.
pub struct OutputStart {
    /// What happens if it cannot connect.
    pub startup: StartupError,
}

/// All that a plan names, made.
pub struct Built {
    /// The stages and outputs.
    pub core: Arc<Core>,
    /// The inputs.
    pub inputs: Vec<BuiltInput>,
    /// What belongs to the outputs, in their order.
    pub outputs: Vec<OutputStart>,
    /// The workers.
    pub reactor: Arc<Reactor>,
}

/// Makes instances.
pub struct Builder<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What hosts share.
    pub services: &'a Arc<Services>,
    /// The log.
    pub logger: &'a Arc<Logger>,
    /// An output that stands for all of the plan's (`--test`).
    pub only_output: Option<(OutputPlugin, String)>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    /// Makes everything.
    ///
    /// # Errors
    /// `None` if anything is wrong: see `diagnostics`.
    pub fn build(&mut self) -> Option<Built> {
        let plan = self.plan;
        let reactor = match Reactor::new() {
            Ok(reactor) => reactor,
            Err(error) => {
                self.wrong(format!("the agent cannot wait for descriptors: {error}"));
                return None;
            }
        };
        let mut number = 0;
        let mut next = || {
            number += 1;
            number - 1
        };
        let processors: Vec<_> =
            plan.processors.iter().filter_map(|p| self.processor(p, next())).collect();
        let aggregators: Vec<_> =
            plan.aggregators.iter().filter_map(|a| self.aggregator(a, next())).collect();
        let (mut outputs, mut serializers, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        if let Some((plugin, config)) = self.only_output.take() {
            next();
            outputs.extend(self.test_output(plugin, &config));
            serializers.push(None);
            starts.push(OutputStart { startup: StartupError::Error });
        } else {
            for output in &plan.outputs {
                next();
                if let Some((output, serializer, start)) = self.output(output) {
                    outputs.push(Arc::new(output));
                    serializers.push(serializer);
                    starts.push(start);
                }
            }
        }
        let mut inputs = Vec::new();
        for (index, input) in plan.inputs.iter().enumerate() {
            let number = next();
            inputs.extend(self.input(input, index, number));
        }
        if self.diagnostics.iter().any(Diagnostic::is_error) {
            return None;
        }
        let side_by_side =
            processors.iter().take_while(|stage| stage.instances.is_side_by_side()).count();
        let core = Arc::new_cyclic(|core: &std::sync::Weak<Core>| {
            let (reactor, core) = (Arc::clone(&reactor), core.clone());
            let waker = Arc::clone(&reactor);
            Core {
                clock: self.services.clock,
                budget: Budget::new(plan.agent.memory_limit.as_usize() as u64),
                calls: Calls::new(plan.agent.call_timeout.as_secs().max(1)),
                processors,
                side_by_side,
                aggregators,
                processors_after: !plan.agent.skip_processors_after_aggregators,
                processors_before: !plan.agent.skip_processors_before_aggregators,
                outputs,
                serializers,
                gate_opened: Box::new(move || {
                    if let Some(core) = core.upgrade() {
                        reactor.wake_all(core.budget.take_waiting());
                    }
                }),
                wake_source: Box::new(move |id| waker.make_ready(id)),
                call_timeout: *plan.agent.call_timeout,
                workers: workers(plan),
            }
        });
        Some(Built { core, inputs, outputs: starts, reactor })
    }

    fn wrong(&mut self, message: String) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            place: None,
            message,
            help: None,
        });
    }

    fn log<O>(&self, plugin: &Plugin<O>) -> Log {
        let level = plugin.common.log_level.map(level_of);
        let alias = plugin.common.alias.as_deref().unwrap_or_default();
        self.logger.log_of(plugin.kind.section(), &plugin.name, alias, level)
    }

    /// What a lookup gave, or a diagnostic at the plugin's table.
    fn found<T, O>(
        &mut self,
        plugin: &Plugin<O>,
        result: Result<Loaded<T>, LoadError>,
    ) -> Option<(T, bool)> {
        match result {
            Ok(loaded) => Some((loaded.plugin, loaded.trusted)),
            Err(error) => {
                self.diagnostics.push(plugin.config.diagnose(error.to_string(), None, None));
                None
            }
        }
    }

    /// What a constructor gave, or a diagnostic at the place it blames.
    fn made<I>(&mut self, text: &PluginText, result: Result<I, Error>) -> Option<I> {
        // What makes one plugin is let go before the next is made.
        resident::release_grown_code();
        match result {
            Ok(instance) => Some(instance),
            Err(error) => {
                let (span, key) = match error.kind() {
                    ErrorKind::BadConfig { key, span } => (span.as_ref(), key.as_deref()),
                    _ => (None, None),
                };
                self.diagnostics.push(text.diagnose(error.to_string(), span, key));
                None
            }
        }
    }

    fn alias<O>(plugin: &Plugin<O>) -> &str {
        plugin.common.alias.as_deref().unwrap_or_default()
    }

    fn processor<O>(&mut self, plugin: &Plugin<O>, number: usize) -> Option<ProcessorStage> {
        let registry = Arc::clone(&self.services.registry);
        let (loaded, trusted) = self.found(plugin, registry.processor(&plugin.name))?;
        let log = self.log(plugin);
        let make = maker(
            self.services,
            &log,
            ("processor", &plugin.name, Self::alias(plugin)),
            plugin.config.text.clone(),
            move |config, host| {
                let mut instance = ProcessorInstance::make(&loaded, config, host)?;
                instance.base.init(&no_bounds())?;
                Ok(instance)
            },
        );
        let first = self.made(&plugin.config, make())?;
        let instances = if has(loaded.descriptor, Capabilities::STATELESS) {
            Instances::EachWorker(make)
        } else if has(loaded.descriptor, Capabilities::CONCURRENT)
            && workers(self.plan) >= SHARING_WORKERS
        {
            match first.share(&no_bounds()) {
                Ok(first) => Instances::Shared(
                    SharedSlot::new(Some(first), sharing(make)),
                    Reached::default(),
                ),
                Err(first) => Instances::One(Slot::new(Some(*first), make)),
            }
        } else {
            Instances::One(Slot::new(Some(first), make))
        };
        let metrics = self.services.metrics.process(&plugin.name, Self::alias(plugin));
        let tags = [("processor", plugin.name.as_str()), ("alias", Self::alias(plugin))];
        let counter = |field| self.services.metrics.counter("internal_process", &tags, field);
        Some(ProcessorStage {
            log: log.counting_errors(metrics.errors.cell()),
            number,
            checks: !trusted,
            shaping: shaping(&plugin.common, None, &[], &[]),
            counters: StageCounters {
                errors: counter("call_errors"),
                dropped: counter("metrics_dropped"),
                filtered: counter("metrics_filtered"),
                pushed: counter("metrics_pushed"),
                push_time_ns: counter("push_time_ns"),
            },
            instances,
            timer: Timer::default(),
        })
    }

    fn aggregator(
        &mut self,
        plugin: &Plugin<crate::config::AggregatorOptions>,
        number: usize,
    ) -> Option<AggregatorStage> {
        let registry = Arc::clone(&self.services.registry);
        let (loaded, trusted) = self.found(plugin, registry.aggregator(&plugin.name))?;
        let log = self.log(plugin);
        let make = maker(
            self.services,
            &log,
            ("aggregator", &plugin.name, Self::alias(plugin)),
            plugin.config.text.clone(),
            move |config, host| {
                let mut instance = AggregatorInstance::make(&loaded, config, host)?;
                instance.base.init(&no_bounds())?;
                Ok(instance)
            },
        );
        let first = self.made(&plugin.config, make())?;
        let metrics = self.services.metrics.aggregate(&plugin.name, Self::alias(plugin));
        let tags = [("aggregator", plugin.name.as_str()), ("alias", Self::alias(plugin))];
        let options = &plugin.options;
        let own_tags = pairs(&options.tags);
        let global = self.global_tags();
        Some(AggregatorStage {
            log: log.counting_errors(metrics.errors.cell()),
            number,
            checks: !trusted,
            selectors: Shaping {
                selectors: plugin.common.selectors.clone(),
                modifiers: plugin.common.modifiers.clone(),
                ..Shaping::default()
            },
            emitted: Shaping {
                naming: options.naming.clone(),
                tags: own_tags,
                global_tags: global,
                ..Shaping::default()
            },
            drop_original: options.drop_original,
            counters: StageCounters {
                errors: self.services.metrics.counter("internal_aggregate", &tags, "call_errors"),
                dropped: metrics.metrics_dropped,
                filtered: metrics.metrics_filtered,
                pushed: metrics.metrics_pushed,
                push_time_ns: metrics.push_time_ns,
            },
            instance: Slot::new(Some(first), make),
            timer: Timer::default(),
        })
    }

    fn output(
        &mut self,
        plugin: &Plugin<crate::config::OutputOptions>,
    ) -> Option<(Output, Option<Rendering>, OutputStart)> {
        let registry = Arc::clone(&self.services.registry);
        let (loaded, _) = self.found(plugin, registry.output(&plugin.name))?;
        let log = self.log(plugin);
        let make = maker(
            self.services,
            &log,
            ("output", &plugin.name, Self::alias(plugin)),
            plugin.config.text.clone(),
            move |config, host| {
                let mut instance = OutputInstance::make(&loaded, config, host)?;
                instance.base.init(&no_bounds())?;
                Ok(instance)
            },
        );
        let first = self.made(&plugin.config, make())?;
        let serializer = match &plugin.format {
            Some(format) if has(loaded.descriptor, Capabilities::SERIALIZED) => {
                Some(self.serializer(plugin, format, &log)?)
            }
            _ => None,
        };
        let options = &plugin.options;
        let settings = OutputSettings {
            batch_size: options.metric_batch_size.max(1) as u64,
            buffer_limit: options.metric_buffer_limit.max(options.metric_batch_size).max(1) as u64,
            flush_interval: *options.flush_interval,
            flush_jitter: *options.flush_jitter,
            direct: has(loaded.descriptor, Capabilities::DIRECT),
            timeout: *self.plan.agent.call_timeout,
        };
        let metrics = self.services.metrics.write(&plugin.name, Self::alias(plugin));
        metrics.buffer_limit.set(settings.buffer_limit as i64);
        let log = log.counting_errors(metrics.errors.cell());
        let mut shaping = shaping(&plugin.common, Some(&options.naming), &[], &[]);
        shaping.names = NamesWhen::Last;
        let slot = Slot::new(Some(first), make);
        let output = Output::new(settings, shaping, metrics, log, slot, false);
        Some((output, serializer, OutputStart { startup: plugin.common.startup_error }))
    }

    fn test_output(&mut self, plugin: OutputPlugin, config: &str) -> Option<Arc<Output>> {
        let log = self.logger.log_of("outputs", "test", "", None);
        let make = maker(
            self.services,
            &log,
            ("output", "test", ""),
            config.to_owned(),
            move |config, host| OutputInstance::make(&plugin, config, host),
        );
        let first = match make() {
            Ok(first) => first,
            Err(error) => {
                self.wrong(error.to_string());
                return None;
            }
        };
        let settings = OutputSettings {
            batch_size: 1,
            buffer_limit: u64::MAX / 8,
            flush_interval: Duration::from_secs(1),
            flush_jitter: Duration::ZERO,
            direct: true,
            timeout: *self.plan.agent.call_timeout,
        };
        let metrics = self.services.metrics.write("test", "");
        let slot = Slot::new(Some(first), make);
        Some(Arc::new(Output::new(settings, Shaping::default(), metrics, log, slot, true)))
    }

    fn serializer<O>(
        &mut self,
        plugin: &Plugin<O>,
        format: &Format,
        log: &Log,
    ) -> Option<Rendering> {
        let registry = Arc::clone(&self.services.registry);
        let (loaded, _) = self.found(plugin, registry.serializer(&format.name))?;
        let make = maker(
            self.services,
            log,
            ("serializer", &format.name, Self::alias(plugin)),
            format.config.text.clone(),
            move |config, host| {
                let mut instance = SerializerInstance::make(&loaded, config, host)?;
                instance.base.init(&no_bounds())?;
                Ok(instance)
            },
        );
        self.made(&format.config, make())?;
        let counters = self.services.metrics.serializer(&format.name);
        Some(Rendering { make, counters })
    }

    /// A parser's options, with what the agent knows better than its defaults: the input's name for
    /// points without one, and the longest line.
    fn parser_config(&self, input: &str, format: &Format) -> String {
        let mut text = format.config.text.clone();
        let schema = self.services.registry.schema(PluginKind::Parser, &format.name);
        let schema = schema.ok().and_then(|text| TableSchema::from_text(&text).ok());
        let set = toml::from_str::<toml::Table>(&text).unwrap_or_default();
        let mut add = |key: &str, value: String| {
            if !set.contains_key(key) && schema.as_ref().is_some_and(|s| s.field(key).is_some()) {
                text.push_str(&format!("{key} = {value}\n"));
            }
        };
        add("metric_name", quote(input));
        add("max_line_bytes", self.plan.agent.max_line_bytes.as_usize().to_string());
        text
    }

    fn global_tags(&self) -> Vec<(String, String)> {
        let agent = &self.plan.agent;
        let mut tags = pairs(&self.plan.global_tags);
        if !agent.omit_hostname {
            let host = match agent.hostname.as_str() {
                "" => hostname(),
                name => name.to_owned(),
            };
            tags.retain(|(key, _)| key != "host");
            tags.push(("host".to_owned(), host));
        }
        tags
    }

    fn input(
        &mut self,
        plugin: &Plugin<crate::config::InputOptions>,
        index: usize,
        number: usize,
    ) -> Option<BuiltInput> {
        let registry = Arc::clone(&self.services.registry);
        let (kind, trusted) = self.found(plugin, registry.input(&plugin.name))?;
        let log = self.log(plugin);
        let alias = Self::alias(plugin);
        let mut splittable = false;
        let (mut parser, mut parser_trusted, mut parser_counters) = (None, true, None);
        if let Some(format) = &plugin.format
            && has(kind.descriptor(), Capabilities::PARSED)
        {
            let (loaded, trusted) = self.found(plugin, registry.parser(&format.name))?;
            splittable = has(loaded.descriptor, Capabilities::SPLITTABLE);
            parser_trusted = trusted;
            parser_counters = Some(self.services.metrics.parser(&format.name));
            let make = maker(
                self.services,
                &log,
                ("parser", &format.name, alias),
                self.parser_config(&plugin.name, format),
                move |config, host| {
                    let mut instance = ParserInstance::make(&loaded, config, host)?;
                    instance.base.init(&no_bounds())?;
                    Ok(instance)
                },
            );
            self.made(&format.config, make())?;
            parser = Some(make);
        }
        let agent = &self.plan.agent;
        let options = &plugin.options;
        let source = match kind {
            InputKind::Gathered(loaded) => {
                let make = maker(
                    self.services,
                    &log,
                    ("input", &plugin.name, alias),
                    plugin.config.text.clone(),
                    move |config, host| {
                        let mut instance = InputInstance::make(&loaded, config, host)?;
                        instance.base.init(&no_bounds())?;
                        Ok(instance)
                    },
                );
                let first = self.made(&plugin.config, make())?;
                let schedule = Schedule {
                    interval: *options.interval,
                    round: agent.round_interval,
                    jitter: *options.collection_jitter,
                    offset: *options.collection_offset,
                    time_source: options.time_source,
                };
                let differential = has(loaded.descriptor, Capabilities::DIFFERENTIAL);
                Source::Gathered(Slot::new(Some(first), make), schedule, differential)
            }
            InputKind::Service(loaded) => {
                let make = maker(
                    self.services,
                    &log,
                    ("input", &plugin.name, alias),
                    plugin.config.text.clone(),
                    move |config, host| {
                        let mut instance = ServiceInstance::make(&loaded, config, host)?;
                        instance.base.init(&no_bounds())?;
                        Ok(instance)
                    },
                );
                let first = self.made(&plugin.config, make())?;
                Source::Service(Slot::new(Some(first), make))
            }
        };
        let precision = match &source {
            Source::Gathered(..) => *options.polled_precision(agent),
            Source::Service(_) => options.precision.map_or(Duration::ZERO, |precision| *precision),
        };
        let metrics = self.services.metrics.gather(&plugin.name, alias);
        let tags = [("input", plugin.name.as_str()), ("alias", alias)];
        let mut shaping = shaping(
            &plugin.common,
            Some(&options.naming),
            &pairs(&options.tags),
            &self.global_tags(),
        );
        shaping.keep_local_tags = agent.always_include_local_tags;
        shaping.keep_global_tags = agent.always_include_global_tags;
        let datagrams_dropped =
            self.services.metrics.counter("internal_gather", &tags, "datagrams_dropped");
        let input = Arc::new(Input {
            index,
            number,
            log: log.counting_errors(metrics.errors.cell()),
            shaping,
            precision_ns: duration_ns(precision),
            checks: !(trusted && parser_trusted),
            parser,
            splittable,
            max_line_bytes: agent.max_line_bytes.as_usize(),
            bad_lines_shown: match agent.show_bad_lines {
                ShowBadLines::All => usize::MAX,
                ShowBadLines::Some => 64,
            },
            parser_counters,
            counters: metrics,
            datagrams_dropped,
            settlements: Arc::new(Settlements::default()),
            given_up: Mutex::default(),
            shown: Mutex::new(Shown::default()),
        });
        Some(BuiltInput { input, source, startup: plugin.common.startup_error })
    }
}

/// Makes instances that agree to be called by several threads.
fn sharing(make: Maker<ProcessorInstance>) -> Maker<SharedProcessor> {
    let refuses = |_| Error::failed("it does not agree to be called by several threads any more");
    Box::new(move || make()?.share(&no_bounds()).map_err(refuses))
}

/// From so many workers on, calls of a stage that agrees to it overlap: two gain nothing by it, for a
/// stage that takes a tenth of a point's time seldom lets one wait, and each has tables of its own.
const SHARING_WORKERS: usize = 3;

/// How many threads read and work side by side.
fn workers(plan: &Plan) -> usize {
    match plan.agent.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers.min(256),
    }
}

fn no_bounds() -> Context<'static> {
    Context::new(Clock::System.now_ns(), None, None)
}

fn has(descriptor: DescriptorRef, capability: Capabilities) -> bool {
    Capabilities(descriptor.capabilities()).has(capability)
}

fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::Error,
        LogLevel::Warning => Level::Warning,
        LogLevel::Information => Level::Information,
        LogLevel::Debug | LogLevel::Trace => Level::Debug,
    }
}

fn pairs(tags: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn shaping(
    common: &Common,
    naming: Option<&Naming>,
    tags: &[(String, String)],
    global_tags: &[(String, String)],
) -> Shaping {
    Shaping {
        selectors: common.selectors.clone(),
        modifiers: common.modifiers.clone(),
        naming: naming.cloned().unwrap_or_default(),
        tags: tags.to_vec(),
        global_tags: global_tags.to_vec(),
        ..Shaping::default()
    }
}

type RawHost = headwater_plugin_api::abi::host::RawHost;

/// A maker with its own host for each instance.
fn maker<I>(
    services: &Arc<Services>,
    log: &Log,
    (kind, name, alias): (&'static str, &str, &str),
    config: String,
    make: impl Fn(&str, RawHost) -> Result<I, Error> + Send + Sync + 'static,
) -> Maker<I> {
    let (services, log) = (Arc::clone(services), log.clone());
    let (name, alias) = (name.to_owned(), alias.to_owned());
    let prefix = services.state_prefix(kind, log.name());
    Box::new(move || {
        let host = PluginHost::create(&services, &log, kind, &name, &alias, &prefix);
        make(&config, serve::host(host))
    })
}

/// The machine's name.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
