package hostconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEhv6xZ0mJ4l0HsYkqC8D7m3w8nJ7Y1l3q2k4v5b6c7d you@there"

// byIgnition carries a configuration out in a root by Ignition's own program.
func byIgnition(t *testing.T, dir, config string) {
	t.Helper()
	const program = "/usr/lib/dracut/modules.d/30ignition/ignition"
	scratch := t.TempDir()
	file := filepath.Join(scratch, "config.ign")
	must(t, os.WriteFile(file, []byte(config), 0o644))
	for _, stage := range []string{"fetch", "files"} {
		cmd := exec.Command(program, "--platform=file", "--stage="+stage, "--root="+dir, "--log-to-stdout",
			"--config-cache="+filepath.Join(scratch, "cache"), "--state-file="+filepath.Join(scratch, "state"))
		cmd.Env = append(os.Environ(), "IGNITION_CONFIG_FILE="+file)
		out, err := cmd.CombinedOutput()
		// The last of its acts is for SELinux, which the image does not have.
		if err != nil && !strings.Contains(string(out), "failed to handle relabeling") {
			t.Fatalf("ignition: %v\n%s", err, out)
		}
	}
}

// leftovers are what the programs of others leave behind.
var leftovers = []string{
	"etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
	"etc/.ignition-result.json",
}

func TestFilesUsersAndGroupsAreThoseThatIgnitionMakes(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"files": `{"ignition":{"version":"3.3.0"},"storage":{
			"directories":[{"path":"/var/data/deep"},{"path":"/var/data","mode":448,"user":{"id":7},"group":{"name":"sudo"}},{"path":"/etc/skel","mode":448}],
			"files":[
				{"path":"/etc/new/one","contents":{"source":"data:,one%0A"},"mode":384,"user":{"name":"daemon"}},
				{"path":"/etc/empty"},{"path":"/etc/hosts","append":[{"source":"data:,a%0A"},{"source":"data:;base64,Ygo="}]},
				{"path":"/etc/hostname","overwrite":true,"contents":{"source":"data:,name"}},
				{"path":"/etc/timezone","mode":384},
				{"path":"/etc/motd","overwrite":true,"contents":{"source":"data:text/plain;charset=utf-8,motd"}},
				{"path":"/var/packed","contents":{"compression":"gzip","source":"data:;base64,H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA=","verification":{"hash":"sha256-5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}}},
				{"path":"/home/through/link","contents":{"source":"data:,x"}}],
			"links":[{"path":"/etc/second","target":"/etc/hosts","hard":true},{"path":"/var/link","target":"../etc/hosts","user":{"id":3}},
				{"path":"/etc/skel/dangling","target":"nowhere"}]}}`,
		"users": `{"ignition":{"version":"3.3.0"},"passwd":{
			"groups":[{"name":"team","gid":5000},{"name":"next"},{"name":"sys","system":true}],
			"users":[
				{"name":"core","groups":["sudo","team"],"gecos":"Core User","passwordHash":"$y$j9T$abc$defghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"},
				{"name":"svc","system":true,"noCreateHome":true,"shell":"/usr/sbin/nologin"},
				{"name":"svc2","system":true,"homeDir":"/var/lib/svc2"},
				{"name":"fixed","uid":4242,"primaryGroup":"team","homeDir":"/var/fixed"},
				{"name":"plain","noUserGroup":true},
				{"name":"late"},
				{"name":"old","gecos":"New","shell":"/bin/bash","groups":["sudo"],"passwordHash":"$6$abc$def"},
				{"name":"absent","shouldExist":false}]}}`,
		"removal": `{"ignition":{"version":"3.2.0"},"passwd":{"users":[{"name":"old","shouldExist":false}],"groups":[{"name":"daemonx","shouldExist":false}]}}`,
		"units": `{"ignition":{"version":"3.1.0"},"systemd":{"units":[
			{"name":"hello.service","contents":"[Service]\nExecStart=/bin/sh\n"},
			{"name":"ssh.service","dropins":[{"name":"50-x.conf","contents":"[Service]\nNice=1\n"}]},
			{"name":"bare.service","mask":true}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := newRoot(t, nil), newRoot(t, nil)
			must(t, configure(t, ours, config))
			byIgnition(t, theirs, config)
			got, want := listing(t, ours), listing(t, theirs)
			// A group's "no password" is written * by Ignition and ! by groupadd.
			for _, l := range []map[string]string{got, want} {
				l["etc/gshadow"] = strings.ReplaceAll(l["etc/gshadow"], ":*:", ":!:")
			}
			same(t, got, want, append([]string{"var/home/old"}, leftovers...)...) // Ignition removes homes, too
		})
	}
}

func TestAccountsAreWhatTheShadowSuiteMakesAndFindsGood(t *testing.T) {
	t.Parallel()
	const config = "#cloud-config\ngroups: [team, {ops: [old, ann]}]\nusers:\n" +
		"- {name: ann, groups: 'sudo, team', gecos: Ann, uid: '2000', ssh_authorized_keys: [" + key + "]}\n" +
		"- {name: bob, primary_group: team, no_create_home: true, groups: made}\n- {name: sys, system: true}\n- {name: old}\n"
	ours, theirs := newRoot(t, nil), newRoot(t, nil)
	must(t, configure(t, ours, config))
	for _, command := range [][]string{
		{"groupadd", "team"}, {"groupadd", "ops"}, {"groupadd", "made"}, {"usermod", "--lock", "old"},
		{"useradd", "--create-home", "--uid", "2000", "--comment", "Ann", "--groups", "sudo,team", "ann"},
		{"useradd", "--no-create-home", "--gid", "team", "--groups", "made", "bob"},
		{"useradd", "--system", "--no-create-home", "sys"},
		{"usermod", "--append", "--groups", "ops", "old"}, {"usermod", "--append", "--groups", "ops", "ann"},
	} {
		run(t, command[0], append([]string{"--root", theirs}, command[1:]...)...)
	}
	ssh := filepath.Join(theirs, "var/home/ann/.ssh")
	must(t, os.Mkdir(ssh, 0o700))
	must(t, os.WriteFile(filepath.Join(ssh, "authorized_keys"), []byte(key+"\n"), 0o600))
	for _, name := range []string{ssh, filepath.Join(ssh, "authorized_keys")} {
		must(t, os.Chown(name, 2000, 2000))
	}
	same(t, listing(t, ours), listing(t, theirs), leftovers...)
	for _, program := range []string{"pwck", "grpck"} {
		out, err := exec.Command(program, "--read-only", "--root", ours).CombinedOutput()
		// Homes of the image that are not there are no fault of ours.
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "directory") && !strings.Contains(line, "no changes") {
				t.Errorf("%s: %s (%v)", program, line, err)
			}
		}
	}
}

func TestUnitsAreEnabledAsSystemctlDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		verb string
		unit string
	}{
		{"enable", "ssh.service"}, {"enable", "pair.service"}, {"enable", "get@.service"}, {"enable", "get@two.service"},
		{"enable", "dropped.service"}, {"disable", "on.service"}, {"mask", "ssh.service"}, {"mask", "gone.service"}, {"unmask", "masked.service"},
	} {
		t.Run(test.verb+" "+test.unit, func(t *testing.T) {
			t.Parallel()
			more := map[string]string{
				"usr/lib/systemd/system/on.service":                     "[Install]\nWantedBy=multi-user.target\nAlias=other.service\n",
				"etc/systemd/system/multi-user.target.wants/on.service": "-> /usr/lib/systemd/system/on.service",
				"etc/systemd/system/other.service":                      "-> /usr/lib/systemd/system/on.service",
				"usr/lib/systemd/system/masked.service":                 "[Service]\n",
				"etc/systemd/system/masked.service":                     "-> /dev/null",
				"usr/lib/systemd/system/dropped.service":                "[Install]\nWantedBy=multi-user.target\n",
				"usr/lib/systemd/system/dropped.service.d/10-more.conf": "[Install]\nWantedBy=%p.target \\\n  rescue.target\n",
				"etc/systemd/system/dropped.service.d/20-hide.conf":     "-> /dev/null",
				"usr/lib/systemd/system/dropped.service.d/20-hide.conf": "[Install]\nWantedBy=bad.target\n",
			}
			ours, theirs := newRoot(t, more), newRoot(t, more)
			must(t, configure(t, ours, "#cloud-config\nruncmd:\n- [systemctl, "+test.verb+", --now, "+test.unit+"]\n"))
			run(t, "systemctl", "--root", theirs, "--quiet", test.verb, test.unit)
			same(t, listing(t, ours), listing(t, theirs))
		})
	}
}

func TestNamesAreThoseThatFirstbootWrites(t *testing.T) {
	t.Parallel()
	more := map[string]string{"etc/os-release": "ID=x\n"}
	ours, theirs := newRoot(t, more), newRoot(t, more)
	must(t, configure(t, ours, "#cloud-config\nhostname: edge-7\ntimezone: Europe/Berlin\n"))
	must(t, os.Remove(filepath.Join(theirs, "etc/hostname")))
	run(t, "systemd-firstboot", "--root", theirs, "--hostname=edge-7", "--timezone=Europe/Berlin")
	must(t, os.WriteFile(filepath.Join(theirs, "etc/timezone"), []byte("Europe/Berlin\n"), 0o644))
	same(t, listing(t, ours), listing(t, theirs), leftovers...)
}

func TestUnitsThatAreWrittenAreGoodOnes(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	must(t, configure(t, dir, `{"ignition":{"version":"3.4.0"},"systemd":{"units":[{"name":"hello.service","enabled":true,
		"contents":"[Unit]\nDescription=Hello\n[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n",
		"dropins":[{"name":"a.conf","contents":"[Service]\nNice=3"}]}]}}`))
	must(t, os.Chmod(filepath.Join(dir, "bin/sh"), 0o755))
	out, err := exec.Command("systemd-analyze", "--root", dir, "--man=no", "--recursive-errors=no", "verify", "hello.service").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
