package configure

import (
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/scripts"
)

type status = scripts.Status

const ok, unknown = scripts.Success, scripts.Unknown

// commands are those that are done on the tree. They get words that are known,
// and are certain to be come to.
var commands = map[string]func(*world, call) (status, error){
	"adduser": doAdduser, "addgroup": doAddgroup, "useradd": doUseradd, "groupadd": doGroupadd,
	"usermod": doUsermod, "gpasswd": doGpasswd, "shadowconfig": doShadowconfig, "systemd-sysusers": doSysusers,
	"pwconv": doShadowconfig, "grpconv": doShadowconfig,

	":": doWrite, "cat": doWrite, "echo": doWrite, "printf": doWrite, "umask": doUmask,
	"mkdir": doMkdir, "rmdir": doRmdir, "rm": doRm, "touch": doTouch, "ln": doLn, "cp": doCp, "mv": doMv,
	"chmod": doChmod, "chown": doChown, "chgrp": doChown, "install": doInstall, "ucf": doUcf,

	"update-alternatives": doAlternatives, "alternatives": doAlternatives, "dpkg-statoverride": doStatoverride,
	"systemctl": doSystemctl, "deb-systemd-helper": doDebSystemdHelper, "systemd-update-helper": doUpdateHelper,
	"update-rc.d": doUpdateRC, "systemd-machine-id-setup": doMachineID, "run-parts": doRunParts,
}

// freeWords are the commands that may have words that are not known: those
// that only ask, and those that need nothing done.
var freeWords = map[string]string{
	"db_version": question, "db_capb": question, "db_input": question, "db_go": question, "db_get": question, "db_set": question,
	"db_fset": question, "db_subst": question, "db_stop": question, "db_title": question, "db_metaget": question, "db_reset": question,
	"db_unregister": question, "db_register": question, "db_purge": question, "db_progress": question, "db_settitle": question, "db_beginblock": question,

	"invoke-rc.d": running, "service": running, "deb-systemd-invoke": running, "start-stop-daemon": running, "udevadm": running,
	"dbus-send": running, "kill": running, "killall": running, "pkill": running, "sysctl": running, "modprobe": running, "nscd": running,
	"policy-rc.d": running, "telinit": running, "ipcrm": running, "sync": running, "sleep": running, "systemd-notify": running,

	"pam-auth-update": onceForAll, "update-shells": onceForAll, "update-ca-certificates": onceForAll, "systemd-tmpfiles": onceForAll,
	"ldconfig": onceForAll, "depmod": onceForAll, "dbus-uuidgen": onceForAll,

	"dpkg-maintscript-helper": upgrade, "dpkg-trigger": onceForAll,
	"update-initramfs": "the build makes the initrd", "dracut": "the build makes the initrd", "kernel-install": "the build makes the initrd",
	"update-grub": "systemd-boot starts the image", "grub2-mkconfig": "systemd-boot starts the image", "linux-update-symlinks": "systemd-boot starts the image",
	"ssh-keygen": "each machine makes its own keys", "restorecon": "the image has no SELinux labels", "chcon": "the image has no SELinux labels",
	"semodule": "the image has no SELinux labels", "semanage": "the image has no SELinux labels", "selinuxenabled": "the image has no SELinux labels", "load_policy": "the image has no SELinux labels",
	"runit-helper": "systemd is what starts services", "chkconfig": "systemd is what starts services", "insserv": "systemd is what starts services",
	"update-menus": menu, "mandb": menu, "install-info": menu, "fc-cache": menu,
	"journalctl": "a machine makes its message catalogue when it starts", "systemd-hwdb": "a machine makes its hardware database when it starts",
	"ucfr": "ucf keeps no state in an image", "ucf": "",
	"dpkg-divert": "there is nothing to divert yet", "rpm-helper": running,

	"set": "", "read": "", "shift": "", "eval": "", "getent": "", "id": "", "grep": "", "egrep": "", "fgrep": "", "cmp": "", "diff": "", "pidof": "", "pgrep": "",
	"dpkg": "", "dpkg-query": "", "rpm": "", "rpmquery": "", "ls": "", "readlink": "", "realpath": "", "stat": "", "md5sum": "", "sha256sum": "", "cut": "", "tr": "",
	"awk": "", "sed": "", "sort": "", "uniq": "", "head": "", "tail": "", "wc": "", "find": "", "xargs": "", "basename": "", "dirname": "", "expr": "",
	"uname": "", "hostname": "", "mktemp": "", "which": "", "echo": "", "printf": "", "cat": "", "dpkg-realpath": "", "getcap": "", "date": "", "cd": "", "umask": "",
	"dpkg-vendor": "", "lsb_release": "", "systemd-detect-virt": "", "ischroot": "", "mountpoint": "", "localedef": "", "update-rc.d": "", "dpkg-architecture": "",
}

const (
	question = "the defaults answer the questions of an image"
	// onceForAll is what a step of the build does.
	onceForAll = "done once, for all packages"
	running    = "no system runs while an image is made"
	upgrade    = "an image is never an upgrade"
	menu       = "an index that readers do without, or make"
)

// asks reports whether the command only asks something, or prints it.
func asks(c call) bool {
	switch c.name {
	case "sed":
		return !hasFlag(c.args, 'i')
	case "find":
		return !strings.Contains(strings.Join(c.args, " "), "-delete") && !strings.Contains(strings.Join(c.args, " "), "-exec")
	case "xargs":
		return false
	case "dpkg":
		return len(c.args) > 0 && strings.HasPrefix(c.args[0], "--")
	case "dpkg-statoverride":
		return contains(c.args, "--list")
	case "dpkg-divert":
		return contains(c.args, "--list") || contains(c.args, "--listpackage") || contains(c.args, "--truename")
	case "rpm":
		return len(c.args) > 0 && strings.HasPrefix(c.args[0], "-q")
	case "cat", "echo", "printf":
		return true
	case "systemctl", "_systemctl":
		return contains(c.args, "is-active") || contains(c.args, "is-enabled") || contains(c.args, "is-failed")
	case "deb-systemd-helper":
		return contains(c.args, "was-enabled") || contains(c.args, "debian-installed")
	case "update-rc.d", "eval", "ucf", "localedef", "umask":
		return false
	}
	why, free := freeWords[c.name]
	return free && why == ""
}

func contains(args []string, s string) bool {
	for _, a := range args {
		if a == s {
			return true
		}
	}
	return false
}

// hasFlag looks for a short option, alone or among others: -f, -rf.
func hasFlag(args []string, flag byte) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.IndexByte(a[1:], flag) >= 0 {
			return true
		}
	}
	return false
}

// ask answers what a command asks, where a tree can.
func (w *world) ask(c call) status {
	var plain []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") {
			plain = append(plain, a)
		}
	}
	switch c.name {
	case "echo", "printf", "cat", "set", "cd":
		return ok
	case "getent":
		if !c.pipe && len(plain) == 2 && plain[0] == "passwd" {
			_, found := w.accounts.User(plain[1])
			return scripts.Of(found)
		} else if !c.pipe && len(plain) == 2 && plain[0] == "group" {
			_, found := w.accounts.Group(plain[1])
			return scripts.Of(found)
		}
	case "id":
		if !c.pipe && len(plain) == 1 {
			_, found := w.accounts.User(plain[0])
			return scripts.Of(found)
		}
	case "dpkg":
		if len(c.args) > 0 && c.args[0] == "--compare-versions" {
			return compareNone(c.args[1:])
		}
	case "systemctl", "_systemctl":
		return scripts.Failure
	case "deb-systemd-helper":
		return scripts.Of(contains(c.args, "was-enabled")) // on a first installation
	case "dpkg-statoverride":
		if len(plain) == 1 {
			return scripts.Of(w.overridden(plain[0]))
		}
	case "grep", "egrep", "fgrep":
		return w.grep(c, plain)
	case "mountpoint", "ischroot", "pidof", "pgrep":
		return scripts.Failure
	}
	return unknown
}

// grep answers for a plain text in one file that is there.
func (w *world) grep(c call, plain []string) status {
	if c.pipe || len(plain) != 2 || !strings.HasPrefix(plain[1], "/") || hasFlag(c.args, 'v') {
		return unknown
	}
	data, err := w.tree.ReadFile(path.Clean(plain[1]), maxText)
	if err != nil {
		return scripts.Failure
	}
	fixed := strings.TrimPrefix(plain[0], "^")
	if strings.ContainsAny(fixed, `\.*[]^$+?(){}|`) && c.name != "fgrep" {
		return unknown
	}
	if fixed != plain[0] {
		return scripts.Of(strings.Contains("\n"+string(data), "\n"+fixed))
	}
	return scripts.Of(strings.Contains(string(data), fixed))
}

// compareNone is dpkg --compare-versions of no version, which is what a first
// installation replaces, and some version.
func compareNone(args []string) status {
	for len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) != 3 || args[0] != "" || args[2] == "" {
		return unknown
	}
	switch args[1] {
	case "lt", "le", "ne", "ge-nl", "gt-nl", "<", "<<", "<=":
		return ok
	}
	return scripts.Failure
}

// needless reports whether nothing has to be done, and why.
func (w *world) needless(c call) (string, bool) {
	switch c.name {
	case "systemd-sysusers":
		return onceForAll, !w.making
	case "udevadm":
		if contains(c.args, "hwdb") {
			return freeWords["systemd-hwdb"], true
		}
	case "journalctl":
		return freeWords[c.name], contains(c.args, "--update-catalog")
	case "dpkg-divert":
		return freeWords[c.name], contains(c.args, "--remove")
	case "deb-systemd-helper":
		return "nothing is masked yet", contains(c.args, "unmask") || contains(c.args, "update-state") || contains(c.args, "daemon-reload")
	case "update-alternatives", "alternatives":
		return "there is nothing to remove yet", contains(c.args, "--remove") || contains(c.args, "--remove-all")
	case "systemctl", "_systemctl":
		for _, verb := range []string{"daemon-reload", "daemon-reexec", "start", "stop", "restart", "try-restart", "reload", "reload-or-restart", "reload-or-try-restart", "condrestart", "kill", "reset-failed", "unmask"} {
			if contains(c.args, verb) {
				return running, true
			}
		}
	case "systemd-update-helper":
		return running, contains(c.args, "mark-restart-system-units") || contains(c.args, "system-reload-restart") || contains(c.args, "system-reload") || contains(c.args, "system-restart") || contains(c.args, "user-reload") || contains(c.args, "mark-restart-user-units")
	}
	why := freeWords[c.name]
	return why, why != ""
}
