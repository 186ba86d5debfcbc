package units

import (
	"embed"
	"path"
)

//go:embed catalog dbus polkit
var others embed.FS

// Elsewhere are the files that do not belong to the units, by their absolute
// path: what the system bus, polkit and journalctl read.
func Elsewhere() map[string][]byte {
	all := make(map[string][]byte)
	for source, folder := range map[string]string{
		"catalog/proa.catalog":          "/usr/lib/systemd/catalog",
		"dbus/org.proa.Agent1.conf":     "/usr/share/dbus-1/system.d",
		"dbus/org.proa.Agent1.service":  "/usr/share/dbus-1/system-services",
		"polkit/org.proa.agent1.policy": "/usr/share/polkit-1/actions",
	} {
		content, err := others.ReadFile(source)
		if err != nil {
			panic(err) // the folders are compiled in
		}
		all[path.Join(folder, path.Base(source))] = content
	}
	return all
}
