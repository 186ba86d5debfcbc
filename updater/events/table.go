package events

type entry struct {
	name        string
	id          string
	priority    Priority
	subject     string
	explanation string
}

// table is what there is to say about each kind. An id is never given to
// another kind: logs are kept for years.
var table = [kinds]entry{
	Started: {"started", "095d47e5bb2442a698cef5225ddf46ff", Info, "Updater started",
		`proa-agent keeps this host up to date from now on. It runs
release @PROA_VERSION@ in slot @PROA_SLOT@.`},
	Stopped: {"stopped", "19a1c0c624124dba8af62e3597501964", Info, "Updater stopped",
		`proa-agent was stopped. Until it is started again nothing looks for updates;
a trial that is armed already is judged nevertheless.`},
	ConfigReloaded: {"config-reloaded", "6636ddb9aee643d796bc350dbfee52b2", Info, "Configuration read again",
		`proa-agent read its configuration again and works by it from now on.`},
	ConfigRefused: {"config-refused", "ee875f9e84114e808e92070910d1dbd2", Err, "Configuration refused",
		`The configuration has a mistake:

    @PROA_REASON@

proa-agent goes on with the one that it had. Correct the file, try it with
"proa-agent config check", and reload the service.`},
	UpdateAvailable: {"update-available", "e0b8690378394e19a978fa6067ca732c", Notice, "Update available",
		`The channel that this host follows names release @PROA_VERSION@, which is newer than
the one that runs. Whether it is installed without being asked for is said by
"policy" in agent.yaml.`},
	CheckFailed: {"check-failed", "4de595b1810c42e1a0c9ff51229c0e58", Warning, "Repository did not answer",
		`The repository could not be asked:

    @PROA_REASON@

proa-agent tries again later, less often the longer it lasts. What was
downloaded is kept.`},
	Refused: {"refused", "1252ce3efdb44cf993e2ac144847fcdb", Warning, "Refused",
		`What was asked for was not begun, and nothing was changed:

    @PROA_REASON@`},
	Untrusted: {"untrusted", "1f10f22bed11479d92d28e641f5db0f6", Crit, "Not trusted",
		`What the repository offers is not what the trusted keys signed:

    @PROA_REASON@

Nothing of it was installed. The repository may be broken, out of date, or in
the wrong hands: its operator should know.`},
	Failed: {"failed", "150d6b11032340b1ac8c8685d5b3375c", Err, "Failed",
		`Something could not be done:

    @PROA_REASON@

The running release is as it was. It is safe to try again, and "proa-agent
recover" tidies up.`},
	DownloadStarted: {"download-started", "c4bf2b8c628e47cb98b4c30494a76a20", Info, "Download started",
		`Release @PROA_VERSION@ is being written into slot @PROA_SLOT@, which does not run. The
running release is not touched.`},
	Staged: {"staged", "ce982492ac4a4c15a096063f85158733", Notice, "Update installed, not armed",
		`Release @PROA_VERSION@ is complete and verified in slot @PROA_SLOT@. Nothing boots it yet:
"proa-agent update --now" arms its trial, "proa-agent cancel" gives it up.`},
	Armed: {"armed", "739a2733f1a248939ac7e6ddfc08766d", Notice, "Trial armed",
		`The next boot tries release @PROA_VERSION@ in slot @PROA_SLOT@, once. If it does not prove
healthy, the machine is back on the committed release by itself.`},
	Cancelled: {"cancelled", "9721c6defb724e43ae4b278ce8472173", Notice, "Update cancelled",
		`Release @PROA_VERSION@ was given up before it was booted. The next boot is the
committed release.`},
	Rebooting: {"rebooting", "229d0616c3914a44af765afeaf4077f5", Notice, "Rebooting",
		`proa-agent asked for a reboot.`},
	RebootDeferred: {"reboot-deferred", "17da23d4e1a14466b46749f00685524a", Notice, "Reboot deferred",
		`The reboot that an update needs waits:

    @PROA_REASON@

It waits until @PROA_UNTIL@ at the most. "systemd-inhibit --list" shows what
inhibits it.`},
	TrialStarted: {"trial-started", "49f84b2a5def438ba3a14f2930a893c9", Notice, "Trial started",
		`This boot tries release @PROA_VERSION@ in slot @PROA_SLOT@. The health checks decide
whether it leads from now on.`},
	TrialUndecided: {"trial-undecided", "7c908738d2fc4ad08a0296cf86188df0", Warning, "Trial ended without a verdict",
		`Release @PROA_VERSION@ was tried and did not come as far as a verdict: a panic, a
hang, or a power cut. It was tried @PROA_TRIES@ times. It is tried again, not before
@PROA_UNTIL@, and blocked when it has been tried as often as "trials" in
agent.yaml says.`},
	HealthFailed: {"health-failed", "9dbbedcbf95247fba497c0bf3fd54549", Err, "Health check failed",
		`The running release is not healthy:

    @PROA_REASON@`},
	Committed: {"committed", "03b3a4e5608d4e008f78567bb85dafbd", Notice, "Release committed",
		`Release @PROA_VERSION@ in slot @PROA_SLOT@ proved healthy and leads from now on. If its
health fails within the time that "watch" in agent.yaml says, the machine still
goes back.`},
	WatchPassed: {"watch-passed", "45c508b218a446049ef7bf60522e23fb", Info, "Watch ended well",
		`Release @PROA_VERSION@ stayed healthy for the time that was set after its commit. It
does not go back by itself any more.`},
	WentBack: {"went-back", "ae6e7321dc7d4ea0944405986d0254db", Err, "Release went back",
		`Release @PROA_VERSION@ did not prove healthy:

    @PROA_REASON@

The machine runs the other slot, or is about to. "proa-agent status" says more,
with the last lines of the failed boot where there are any.`},
	Blocked: {"blocked", "e32cd71eadaf470e88e9cf9d4a58d35b", Warning, "Release blocked",
		`Release @PROA_VERSION@ is not installed on this host any more:

    @PROA_REASON@

"proa-agent unblock" lifts that. A newer release is not concerned.`},
	Unblocked: {"unblocked", "edd9c5a14ecd45f29d0b295ee5f4075f", Notice, "Release no longer blocked",
		`A release that was blocked may be installed on this host again.`},
	Recovered: {"recovered", "38db6efdc46d4d8bbb2ebaa19b5fbb26", Notice, "Tidied up after an interruption",
		`Something was interrupted, by a power cut for example, and has been put in
order:

    @PROA_REASON@`},
	Degraded: {"degraded", "c33b8789034748c89a4e069c8895f85b", Err, "Redundancy lost",
		`The machine runs, but could not survive as much as it should:

    @PROA_REASON@

"proa-agent repair" rewrites a damaged slot from the repository.`},
	Repaired: {"repaired", "dec209acfdc34e77ab808d833c9bdb55", Notice, "Slot repaired",
		`Slot @PROA_SLOT@ was damaged and has been rewritten from the repository: @PROA_BYTES@
bytes. It is what the trusted keys signed again.`},
	HookFailed: {"hook-failed", "a455f9f7c4714c608eb57b48372f8f52", Warning, "Hook failed",
		`What was hung on @PROA_UNIT@ did not work:

    @PROA_REASON@

"systemctl list-dependencies @PROA_UNIT@" shows what that is.`},
	EtcOverridden: {"etc-overridden", "b9edf4ab462e412fa20549e777564943", Warning, "Update changes a file that this host overrides",
		`Release @PROA_VERSION@ changes files under /etc that this host has its own versions
of, which stay in force:

    @PROA_REASON@

"proa-agent etc diff" shows the differences, "proa-agent etc reset" takes the
release's file.`},
	Migrated: {"migrated", "4aa7bf6454e5454a88e89123a5bdd362", Notice, "Data migrated",
		`Release @PROA_VERSION@ converted data under /var:

    @PROA_REASON@`},
	MigrationFailed: {"migration-failed", "3472e0c7b2d944c78f0bf0b8824a4b4c", Err, "Data migration failed",
		`Release @PROA_VERSION@ could not convert data under /var:

    @PROA_REASON@`},
}
