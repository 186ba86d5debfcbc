package main

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

// rehearsed writes what 'proa rehearse --attest' would, of releases of repo:
//
//	rehearsed FILE KEY TO FROM...
func rehearsedCommand(ts *testscript.TestScript, _ bool, args []string) {
	contents, err := repository.List(ts.MkAbs("repo"))
	ts.Check(err)
	release := map[manifests.Version]repository.Entry{}
	for _, e := range contents.Releases {
		release[e.Version] = e
	}
	to := release[manifests.Version(args[2])]
	r := manifests.Rehearsal{Product: to.Product, Version: to.Version, Arch: to.Arch, Channel: "beta", Accel: "tcg", Checks: []string{}}
	for _, from := range args[3:] {
		e := release[manifests.Version(from)]
		r.From = append(r.From, manifests.RehearsedFrom{Version: e.Version, Release: e.Release, Passed: []string{"update"}})
	}
	statement, err := r.Statement(to.Release)
	ts.Check(err)
	key, err := signing.ReadKeyFile(ts.MkAbs(args[1]))
	ts.Check(err)
	envelope, err := signing.Seal(signing.PayloadInToto, statement, key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), envelope, 0o644))
}
