package units_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/units"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

const vendor = "usr/lib/systemd/system/"

func image() map[string]string {
	service := "[Service]\nExecStart=/bin/true\n"
	return map[string]string{
		"etc/systemd/system":                      "/",
		"lib":                                     "-> usr/lib",
		"usr/bin/true":                            "",
		vendor + "a.service":                      service + "[Install]\nWantedBy=multi-user.target\nAlias=a-alias.service\nAlso=a.socket b.service gone.service\n",
		vendor + "a.socket":                       "[Socket]\nListenStream=/run/a\n[Install]\nWantedBy=sockets.target\n",
		vendor + "b.service":                      service + "[Install]\nRequiredBy=multi-user.target\nWantedBy=a.service \\\n  other.target\n",
		vendor + "c.service":                      service,
		vendor + "d.service":                      service + "[Install]\nWantedBy=one.target\nWantedBy=\nWantedBy=two.target\n",
		vendor + "e@.service":                     service + "[Install]\nWantedBy=multi-user.target\nDefaultInstance=first\n",
		vendor + "f@.service":                     service + "[Install]\nWantedBy=multi-user.target dev-%i.device\n",
		vendor + "g.timer":                        "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
		vendor + "h.service":                      service + "[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/h.service":            "-> /dev/null",
		vendor + "i.service":                      service + "[Install]\nWantedBy=multi-user.target\n",
		vendor + "i.service.d/10-more.conf":       "[Install]\nWantedBy=rescue.target\n",
		vendor + "j.service":                      "-> i.service",
		"etc/systemd/system/k.service":            service + "[Install]\nWantedBy=multi-user.target\nAlias=%p-%N.service\n",
		vendor + "l-off.service":                  service + "[Install]\nWantedBy=multi-user.target\n",
		"usr/lib/systemd/system-preset/90.preset": "# ours\nenable a.service\nenable f@.service x y\ndisable l-*.service\nenable l-off.service\n",
		"usr/lib/systemd/system-preset/95.preset": "disable b.service\n",
	}
}

func links(t *testing.T, of *tree.Tree) []string {
	t.Helper()
	all, err := treetest.List(of)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, line := range all {
		if strings.HasPrefix(line, "etc/systemd/system/") && strings.Contains(line, " symbolic link ") {
			links = append(links, line)
		}
	}
	return links
}

// compare runs systemctl on a copy of the tree first.
func compare(t *testing.T, ours *tree.Tree, run func() error, args ...string) {
	t.Helper()
	dir := configuretest.Folder(t, ours)
	out, err := exec.Command("systemctl", append([]string{"--root=" + dir}, args...)...).CombinedOutput()
	ourErr := run()
	if (err != nil) != (ourErr != nil) {
		t.Errorf("systemctl %q: %v: %s; ours: %v", args, err, out, ourErr)
	}
	got, want := links(t, ours), links(t, configuretest.Read(t, dir))
	if !slices.Equal(got, want) {
		t.Errorf("systemctl %q:\n%s\nwant\n%s\n%s", args, strings.Join(got, "\n"), strings.Join(want, "\n"), out)
	}
}

// systemctl of Debian 12 names the folder so.
const vendorOfHost = "/lib/systemd/system"

func TestTheSameLinksAsSystemctl(t *testing.T) {
	for _, name := range []string{"a.service", "b.service", "c.service", "d.service", "e@.service", "e@second.service", "f@.service", "f@z.service", "g.timer", "h.service", "i.service", "j.service", "k.service", "absent.service"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := configuretest.Tree(t, image())
			m := &units.Manager{Tree: ours, Source: "test", Vendor: vendorOfHost}
			compare(t, ours, func() error { _, err := m.Enable(units.Name(name)); return err }, "enable", name)
			if name == "h.service" {
				return
			}
			compare(t, ours, func() error { _, err := m.Disable(units.Name(name)); return err }, "disable", name)
		})
	}
}

func TestPresetsEnableWhatSystemctlEnables(t *testing.T) {
	ours := configuretest.Tree(t, image())
	m := &units.Manager{Tree: ours, Source: "test", Vendor: vendorOfHost}
	compare(t, ours, func() error {
		policy, faults, err := units.ReadPolicy(ours, "etc", "usr/lib")
		if len(faults) > 0 {
			t.Error(faults)
		}
		if err == nil {
			_, err = m.Preset(policy)
		}
		return err
	}, "preset-all", "--preset-mode=enable-only")
}

func TestMaskedUnitsStayMasked(t *testing.T) {
	ours := configuretest.Tree(t, image())
	m := &units.Manager{Tree: ours, Source: "test"}
	if err := m.Mask("g.timer"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Enable("g.timer"); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("got %v", err)
	}
}

func FuzzUnits(f *testing.F) {
	for path, text := range image() {
		f.Add(text, strings.TrimPrefix(path, vendor), text)
	}
	f.Fuzz(func(t *testing.T, unit, name, preset string) {
		ours := configuretest.Tree(t, map[string]string{vendor + "x@.service": "#" + unit, vendor + "y.service": "#\n" + unit, "usr/lib/systemd/system-preset/1.preset": "#\n" + preset})
		m := &units.Manager{Tree: ours, Source: "test"}
		_, _ = m.Enable(units.Name(name))
		_, _ = m.Enable("x@1.service")
		policy, _, err := units.ReadPolicy(ours, "usr/lib")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Preset(policy); err != nil {
			t.Fatal(err)
		}
		if err := ours.Walk(func(at string, n *tree.Node) error { _, err := tree.Clean(at); return err }); err != nil {
			t.Error(err)
		}
	})
}
