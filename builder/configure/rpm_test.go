package configure

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/packages"
)

// rpmScripts are what the macros of Fedora and Enterprise Linux expand to.
var rpmScripts = map[string]string{
	"%pre": `
getent group web >/dev/null || groupadd -f -g 48 -r web
if ! getent passwd web >/dev/null ; then
    if ! getent passwd 48 >/dev/null ; then
      useradd -r -u 48 -g web -d /usr/share/web -s /sbin/nologin -c "Web" web
    else
      useradd -r -g web -d /usr/share/web -s /sbin/nologin -c "Web" web
    fi
fi
getent group dyn >/dev/null || /usr/sbin/groupadd -r dyn
getent passwd dyn >/dev/null || /usr/sbin/useradd -r -g dyn -G web -M -d /var/lib/dyn -s /sbin/nologin dyn
exit 0
`,
	"%post": `
if [ $1 -eq 1 ] && [ -x "/usr/lib/systemd/systemd-update-helper" ]; then
    # Initial installation
    /usr/lib/systemd/systemd-update-helper install-system-units web.service || :
fi
if [ $1 -eq 1 ] ; then
        # Initial installation
        systemctl --no-reload preset other.service &>/dev/null || :
fi
/usr/sbin/update-alternatives --install /usr/bin/tool tool /usr/bin/tool-1 10 \
  --slave /usr/share/man/man1/tool.1 tool-man /usr/share/man/man1/tool-1.1
/sbin/ldconfig
udevadm hwdb --update >/dev/null 2>&1 || :
mkdir -p /var/lib/dyn
chown dyn:dyn /var/lib/dyn
if [ $1 -gt 1 ]; then rm -rf /var/lib/dyn; fi
`,
	"%postun": `rm -rf /etc`,
}

func rpmPackage() packages.About {
	about := packages.About{Format: packages.RPM, Name: "web", Version: "1-1"}
	for _, when := range []string{"%pre", "%post", "%postun"} {
		about.Scripts = append(about.Scripts, packages.Script{When: when, Interpreter: "/bin/sh", Text: rpmScripts[when]})
	}
	return about
}

func TestRPMScriptletsAreDone(t *testing.T) {
	service := "[Install]\nWantedBy=multi-user.target\n"
	ours := configuretest.Tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "usr/bin/tool-1": "",
		"usr/lib/systemd/systemd-update-helper": "", "usr/lib/systemd/system/web.service": service, "usr/lib/systemd/system/other.service": service,
		"usr/lib/systemd/system/third.service": service, "usr/lib/systemd/system-preset/90-default.preset": "enable web.service\ndisable *\n",
		"etc/systemd/system-preset/10-own.preset": "enable third.service\n",
		"etc/login.defs":              "SYS_UID_MIN 201\nSYS_GID_MIN\t201\nUSERGROUPS_ENAB yes\n",
		"usr/lib/sysusers.d/web.conf": "u sys - 'From sysusers'\n",
	})
	if n, ok := ours.Lookup("usr/lib/systemd/systemd-update-helper"); ok {
		n.Mode = 0o755
	}
	c := Config{Packages: []packages.About{rpmPackage(), {Format: packages.RPM, Name: "lua", Version: "2", Scripts: []packages.Script{{When: "%pretrans", Interpreter: "<lua>", Text: "posix.symlink()"}, {When: "%post", Interpreter: "/sbin/ldconfig"},
		{When: "%triggerun -- x", Interpreter: "/bin/sh", Text: "rm -rf /etc/passwd"}, {When: "%transfiletriggerin -- /usr/lib", Interpreter: "/bin/sh", Text: "/sbin/ldconfig"},
		{When: "%triggerin -- x", Interpreter: "/bin/sh", Text: "touch /etc/triggered"}, {When: "%posttrans -e", Interpreter: "/bin/sh", Text: "touch %{_sysconfdir}/x"}}}}, Source: "test", Epoch: 1767225600}
	users, err := Users(t.Context(), ours, c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"web", "dyn", "sys"}; !slices.Equal(users.Users, want) {
		t.Errorf("users %q: want %q", users.Users, want)
	}
	report, err := Run(t.Context(), ours, c)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"etc/passwd":                "root:x:0:0:root:/root:/bin/bash\nweb:x:48:48:Web:/usr/share/web:/sbin/nologin\ndyn:x:999:999::/var/lib/dyn:/sbin/nologin\nsys:x:998:998:From sysusers:/:/usr/sbin/nologin\n",
		"etc/group":                 "root:x:0:\nweb:x:48:dyn\ndyn:x:999:\nsys:x:998:\n",
		"var/lib/alternatives/tool": "auto\n/usr/bin/tool\ntool-man\n/usr/share/man/man1/tool.1\n\n/usr/bin/tool-1\n10\n/usr/share/man/man1/tool-1.1\n\n",
	} {
		got, err := ours.ReadFile(path, 1<<20)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v: want %q", path, got, err, want)
		}
	}
	want := []string{"etc/systemd/system/multi-user.target.wants/third.service", "etc/systemd/system/multi-user.target.wants/web.service"}
	if !slices.Equal(report.Units, want) {
		t.Errorf("units %q: want %q", report.Units, want)
	}
	if n, ok := ours.Lookup("var/lib/dyn"); !ok || n.UID != 999 || n.GID != 999 {
		t.Errorf("/var/lib/dyn: %+v", n)
	}
	uncovered := report.Uncovered()
	if len(uncovered) != 1 || uncovered[0].Name != "lua" || !strings.Contains(report.String(), "posix.symlink() (a script for <lua>)") {
		t.Errorf("not done:\n%s", report)
	}
	var missing []string
	for _, l := range uncovered[0].NotDone {
		missing = append(missing, l.Script)
	}
	if want := []string{"%pretrans", "%posttrans -e", "%triggerin -- x"}; !slices.Equal(missing, want) {
		t.Errorf("not done %q: want %q", missing, want)
	}
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
}

func TestOwnPresetsComeBeforePackages(t *testing.T) {
	service := "[Install]\nWantedBy=multi-user.target\n"
	ours := configuretest.Tree(t, map[string]string{
		"usr/lib/systemd/system/a.service": service, "usr/lib/systemd/system/b.service": service, "usr/lib/systemd/system/c.service": service,
		"usr/lib/systemd/system/d.service": service, "etc/systemd/system/multi-user.target.wants/d.service": "-> /usr/lib/systemd/system/d.service",
		"etc/systemd/system-preset/10.preset":       "disable b.service\nenable c.service\ndisable d.service\n",
		"usr/lib/systemd/system-preset/90-x.preset": "enable *\n",
	})
	text := "deb-systemd-helper enable a.service\ndeb-systemd-helper enable b.service\n"
	about := packages.About{Format: packages.Deb, Name: "p", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: text}}}
	report, err := Run(t.Context(), ours, Config{Packages: []packages.About{about}, Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/systemd/system/multi-user.target.wants/a.service", "etc/systemd/system/multi-user.target.wants/c.service"}
	if !slices.Equal(report.Units, want) || len(report.Disabled) != 1 {
		t.Errorf("units %q, disabled %q: want %q", report.Units, report.Disabled, want)
	}
}
