package builder

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/builder/configure"
	"github.com/proa-os/proa/builder/configure/sandbox"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

// Scripts is what became of package scripts: the content of scripts.json.
type Scripts struct {
	configure.Report                // of those that were followed
	Sandbox          sandbox.Report `json:"sandbox,omitzero"` // of those that ran
}

// String is the report for people: a summary, and what is missing.
func (s Scripts) String() string {
	text := ""
	if ran := len(s.Sandbox.Scripts); ran > 0 {
		text = fmt.Sprintf("%d package scripts ran in a sandbox, and changed %d paths\n", ran, len(s.Sandbox.Changed))
	}
	if len(s.Packages) > 0 {
		text += s.Report.String()
	}
	return text
}

// scriptsOf is what the recipe wants to become of a source's scripts.
func scriptsOf(s manifests.Source) manifests.Scripts {
	switch {
	case s.Deb != nil && s.Deb.Scripts != "":
		return s.Deb.Scripts
	case s.RPM != nil && s.RPM.Scripts != "":
		return s.RPM.Scripts
	}
	return manifests.ScriptsReport
}

// runScripts runs the scripts of packages in the sandbox.
func (b *build) runScripts(ctx context.Context, payloads []packages.Payload) error {
	if b.Arch != manifests.HostArch() {
		return fmt.Errorf("scripts: sandbox runs programs of the image, which are for %s: want a machine of that architecture, or scripts: report", b.Arch)
	}
	c := sandbox.Config{Source: ownSource, Epoch: b.Epoch}
	for _, p := range payloads {
		c.Packages = append(c.Packages, p.About)
	}
	step := b.Progress.Step("run package scripts", 0)
	report, err := sandbox.Run(ctx, b.tree, b.store, c)
	step.Done(err)
	if err != nil {
		return err
	}
	b.scripts.Sandbox.Scripts = append(b.scripts.Sandbox.Scripts, report.Scripts...)
	b.scripts.Sandbox.Changed = append(b.scripts.Sandbox.Changed, report.Changed...)
	return nil
}

// configureTree does what the scripts are for that did not run.
func (b *build) configureTree(ctx context.Context) error {
	if len(b.packages) == 0 {
		return nil
	}
	report, err := configure.Run(ctx, b.tree, b.configuration())
	report.Accounts = b.accounts
	b.scripts.Report = report
	return err
}
