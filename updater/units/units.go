// Package units is the systemd units of proa-agent as data, for whoever puts
// the agent into an image.
package units

import "embed"

//go:embed *.service *.timer *.target
var files embed.FS

// Files are the units' contents by file name; they belong into
// /usr/lib/systemd/system.
func Files() map[string][]byte {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	units := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		content, err := files.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		units[entry.Name()] = content
	}
	return units
}

// Links are the symbolic links that enable them, and their targets, relative
// to the same folder: what "systemctl enable" makes of their [Install]
// sections.
func Links() map[string]string {
	return map[string]string{
		"multi-user.target.wants/proa-judge.service":       "../proa-judge.service",
		"boot-complete.target.requires/proa-judge.service": "../proa-judge.service",
		"multi-user.target.wants/proa-agent.service":       "../proa-agent.service",
		"multi-user.target.wants/proa-configure.service":   "../proa-configure.service",
		"sysinit.target.wants/proa-deadline.timer":         "../proa-deadline.timer",
	}
}

// ExtensionLinks are those of images whose releases have extensions.
func ExtensionLinks() map[string]string {
	return map[string]string{
		"sysinit.target.wants/proa-extensions.service":       "../proa-extensions.service",
		"sysinit.target.wants/proa-extensions-units.service": "../proa-extensions-units.service",
	}
}
