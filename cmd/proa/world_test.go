package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/proa-os/proa/builder/oci/ocitest"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
)

// worldCommands let a script say what registries and repositories have:
//
//	world                             start them; sets $URL, $REGISTRY and $WORLD (their folder), writes world.asc
//	add deb|rpm|image NAME VERSION [NEEDS]
//	add signed NAME TAG               an image that the key in cosign.pub has signed
//	file deb|rpm FOLDER NAME VERSION  a package beside the recipe
//	reindex deb|rpm                   index what $WORLD has now
//	requests none|some                since the last time
//	end                               there is no server any more
//	expand FROM TO                    a file with $NAMES replaced
func worldCommands(t *testing.T) map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	world := func(ts *testscript.TestScript) *resolvetest.World {
		return ts.Value("world").(map[string]*resolvetest.World)["it"]
	}
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"world": func(ts *testscript.TestScript, _ bool, _ []string) {
			w := resolvetest.Open(t)
			ts.Value("world").(map[string]*resolvetest.World)["it"] = w
			ts.Setenv("URL", w.URL)
			ts.Setenv("REGISTRY", w.Registry)
			ts.Setenv("WORLD", w.Dir)
			for _, key := range []string{w.Key, w.Stranger} {
				data, err := os.ReadFile(key)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(filepath.Base(key)), data, 0o644))
			}
		},
		"add": func(ts *testscript.TestScript, _ bool, args []string) {
			w, p := world(ts), resolvetest.Package{Name: args[1], Version: args[2]}
			if len(args) > 3 {
				p.Needs = args[3]
			}
			switch args[0] {
			case "deb":
				w.AddDeb(t, p)
			case "rpm":
				w.AddRPM(t, p)
			case "image":
				w.Push(t, p.Name, p.Version, nil)
			case "signed":
				key, err := ocitest.NewKey()
				ts.Check(err)
				public, err := key.Public()
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs("cosign.pub"), public, 0o644))
				reference := w.Registry + "/" + p.Name + ":" + p.Version
				ts.Check(key.Sign(reference, w.Push(t, p.Name, p.Version, nil)))
			default:
				ts.Fatalf("add %s", args[0])
			}
		},
		"file": func(ts *testscript.TestScript, _ bool, args []string) {
			w, p := world(ts), resolvetest.Package{Name: args[2], Version: args[3]}
			if args[0] == "deb" {
				w.DebFile(t, ts.MkAbs(args[1]), p)
			} else {
				w.RPMFile(t, ts.MkAbs(args[1]), p)
			}
		},
		"reindex": func(ts *testscript.TestScript, _ bool, args []string) {
			if args[0] == "deb" {
				world(ts).IndexDeb(t)
			} else {
				world(ts).IndexRPM(t)
			}
		},
		"requests": func(ts *testscript.TestScript, _ bool, args []string) {
			if n := world(ts).Requests(); (n == 0) != (args[0] == "none") {
				ts.Fatalf("%d requests: want %s", n, args[0])
			}
		},
		"end": func(ts *testscript.TestScript, _ bool, _ []string) { world(ts).Close() },
		"expand": func(ts *testscript.TestScript, _ bool, args []string) {
			text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
		},
	}
}
