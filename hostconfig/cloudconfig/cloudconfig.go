// Package cloudconfig reads the part of cloud-init's cloud-config that makes
// sense on a machine whose system is a release: names, time zone, users, groups,
// files, and commands that enable units. Everything else is refused by its key.
package cloudconfig

import (
	"strings"

	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// Header is how a cloud-config begins.
const Header = "#cloud-config"

const (
	inImage = "the system is the release's: give it to the recipe"
	grows   = "the disk grows at every boot by itself"
	noRun   = "nothing is run: write a unit by write_files, and enable it by runcmd: [systemctl enable NAME]"
)

// refused are keys of cloud-init's modules, with what there is in their place.
var refused = map[string][]string{
	inImage: {"packages", "package_update", "package_upgrade", "package_reboot_if_required", "apt", "apt_pipelining", "yum_repos", "yum_repo_dir",
		"zypper", "apk_repos", "snap", "drivers", "ansible", "chef", "puppet", "salt_minion", "mcollective", "lxd", "landscape", "ubuntu_advantage",
		"ubuntu_pro", "rh_subscription", "spacewalk", "grub_dpkg", "byobu_by_default", "locale", "locale_configfile", "keyboard", "fan", "wireguard"},
	grows:  {"growpart", "resize_rootfs"},
	noRun:  {"bootcmd", "power_state", "phone_home", "final_message", "cloud_init_modules", "cloud_config_modules", "cloud_final_modules", "merge_how", "merge_type", "reporting", "output", "datasource", "datasource_list"},
	layout: {"disk_setup", "fs_setup", "mounts", "mount_default_fields", "swap", "bcache"},
	"there is no default user: give keys to a user of users": {"ssh_authorized_keys", "user", "password", "ssh_import_id", "disable_root", "disable_root_opts"},
	"passwords are given as hashes, by passwd of a user":     {"chpasswd"},
	"write the file by write_files":                          {"ntp", "resolv_conf", "manage_resolv_conf", "manage_etc_hosts", "rsyslog", "ca_certs", "ca-certs", "network", "system_info"},
	"keys of the host are made at the first boot":            {"ssh_keys", "ssh_deletekeys", "ssh_genkeytypes", "ssh_quiet_keygen", "ssh_publish_hostkeys", "ssh", "no_ssh_fingerprints"},
}

const layout = "the disk's partitions are the release's, made when it is installed"

// Parse reads a configuration that begins with Header, whose name is used in
// faults. The error is a *strictyaml.Faults.
func Parse(name string, data []byte) (*plan.Plan, error) {
	root, err := strictyaml.Nodes(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: document.NewReader(name), plan: &plan.Plan{Language: "cloud-config"}}
	top := r.Root(root).Object()
	r.names(top)
	r.plan.Timezone = text(top.Take("timezone"), plan.CheckTimezone)
	r.groups(top.Take("groups"))
	r.users(top.Take("users"))
	r.files(top.Take("write_files"))
	r.commands(top.Take("runcmd"))
	r.passwordLogin(top.Take("ssh_pwauth"))
	for why, keys := range refused {
		top.Refuse(why, keys...)
	}
	top.End()
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r.plan, nil
}

// MetaData reads the meta-data of a NoCloud volume into a plan, which may have a
// host name already.
func MetaData(name string, data []byte, p *plan.Plan) error {
	root, err := strictyaml.Nodes(name, data)
	if err != nil {
		return err
	}
	r := document.NewReader(name)
	top := r.Root(root).Object()
	top.Take("instance-id").Text()
	top.Take("dsmode").Text()
	hostname := text(top.Take("local-hostname"), plan.CheckHostname)
	if other := text(top.Take("hostname"), plan.CheckHostname); hostname.Value == "" {
		hostname = other
	}
	if p.Hostname.Value == "" {
		p.Hostname = hostname
	}
	top.Refuse("write a .network file by write_files", "network-interfaces", "network-config")
	top.Refuse("give keys to a user of users, in user-data", "public-keys")
	top.End()
	return r.Err()
}

type reader struct {
	*document.Reader
	plan   *plan.Plan
	budget document.Budget
}

// text is a value that must pass a check, with its place.
func text(v document.Value, check func(string) error) plan.Text {
	if value := v.Checked(check); value != "" {
		return plan.Text{Place: v.Place, Value: value}
	}
	return plan.Text{}
}

// names takes the host's name as cloud-init does on Debian: hostname, or the
// first label of fqdn, and all of fqdn where that is preferred.
func (r *reader) names(top *document.Object) {
	hostname, fqdn := text(top.Take("hostname"), plan.CheckHostname), text(top.Take("fqdn"), plan.CheckHostname)
	long := top.Take("prefer_fqdn_over_hostname").Is()
	if keep := top.Take("preserve_hostname"); keep.Is() {
		if hostname.Value != "" || fqdn.Value != "" {
			keep.Fault("want no hostname and no fqdn with it")
		}
		return
	}
	top.Take("create_hostname_file").Bool()
	switch {
	case fqdn.Value != "" && (long || hostname.Value == ""):
		if r.plan.Hostname = fqdn; !long {
			r.plan.Hostname.Value, _, _ = strings.Cut(fqdn.Value, ".")
		}
	default:
		r.plan.Hostname = hostname
	}
}

// passwordLogin is sshd's PasswordAuthentication, in the file that cloud-init
// writes.
func (r *reader) passwordLogin(v document.Value) {
	if !v.There() || v.Text() == "unchanged" {
		return
	}
	line := "PasswordAuthentication no\n"
	if v.Is() {
		line = "PasswordAuthentication yes\n"
	}
	mode := uint32(0o600)
	r.plan.Files = append(r.plan.Files, plan.File{
		Node:     plan.Node{Place: v.Place, Path: "/etc/ssh/sshd_config.d/50-cloud-init.conf", Overwrite: true, NoFolder: true},
		Mode:     &mode,
		Contents: []byte(line),
	})
}

// commands takes the calls of systemctl that a configuration before the start of
// systemd can stand for.
func (r *reader) commands(list document.Value) {
	for _, item := range list.Items() {
		var words []string
		if item.Kind() == strictyaml.List {
			words = item.Texts()
		} else {
			words = strings.Fields(item.Text())
		}
		if len(words) < 2 || words[0] != "systemctl" && words[0] != "/usr/bin/systemctl" && words[0] != "/bin/systemctl" {
			item.Fault("%s", noRun)
			continue
		}
		r.systemctl(item, words[1:])
	}
}

func (r *reader) systemctl(item document.Value, words []string) {
	verb, names := "", []string{}
	for _, word := range words {
		switch {
		case word == "--now" || word == "--no-block" || word == "--quiet" || word == "-q":
			// Systemd has not been started yet, and starts what is enabled.
		case strings.HasPrefix(word, "-"):
			item.Fault("systemctl %.40s: %s", word, noRun)
			return
		case verb == "":
			verb = word
		default:
			if !strings.Contains(word, ".") {
				word += ".service"
			}
			if err := plan.CheckUnit(word); err != nil {
				item.Fault("%v", err)
				return
			}
			names = append(names, word)
		}
	}
	yes, no := true, false
	for _, name := range names {
		unit := plan.Unit{Place: item.Place, Name: name}
		switch verb {
		case "enable":
			unit.Enabled = &yes
		case "disable":
			unit.Enabled = &no
		case "mask":
			unit.Mask = &yes
		case "unmask":
			unit.Mask = &no
		default:
			item.Fault("systemctl %.40s: want enable, disable, mask, unmask or daemon-reload", verb)
			return
		}
		r.plan.Units = append(r.plan.Units, unit)
	}
	if len(names) == 0 && verb != "daemon-reload" {
		item.Fault("systemctl %.40s: %s", verb, noRun)
	}
}
