package main

import (
	"flag"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

// rehearsed writes what 'proa rehearse --attest' would, of releases of repo:
//
//	rehearsed [-update-only] [-check NAME] [-config FILE] FILE KEY TO FROM...
func rehearsedCommand(ts *testscript.TestScript, _ bool, args []string) {
	flags := flag.NewFlagSet("rehearsed", flag.PanicOnError)
	updateOnly, check, config := flags.Bool("update-only", false, ""), flags.String("check", "", ""), flags.String("config", "", "")
	ts.Check(flags.Parse(args))
	args = flags.Args()
	contents, err := repository.List(ts.MkAbs("repo"))
	ts.Check(err)
	release := map[manifests.Version]repository.Entry{}
	for _, e := range contents.Releases {
		release[e.Version] = e
	}
	to := release[manifests.Version(args[2])]
	r := manifests.Rehearsal{Product: to.Product, Version: to.Version, Arch: to.Arch, Channel: "beta", Accel: "tcg", Checks: []string{}}
	if *check != "" {
		r.Checks = []string{*check}
	}
	if *config != "" {
		r.Settings = manifests.DigestOf([]byte(ts.ReadFile(*config)))
	}
	for _, from := range args[3:] {
		e := release[manifests.Version(from)]
		whole := manifests.RehearsedFrom{Version: e.Version, Release: e.Release, Passed: []string{manifests.SceneUpdate}}
		if !*updateOnly {
			whole.Passed = append(whole.Passed, whole.Lacks()...)
		}
		r.From = append(r.From, whole)
	}
	statement, err := r.Statement(to.Release)
	ts.Check(err)
	key, err := signing.ReadKeyFile(ts.MkAbs(args[1]))
	ts.Check(err)
	envelope, err := signing.Seal(signing.PayloadInToto, statement, key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), envelope, 0o644))
}
