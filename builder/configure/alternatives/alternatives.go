// Package alternatives is update-alternatives(1) on a tree: several programs
// that would do for one name, and links to the one of the highest priority.
package alternatives

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// Choice is one --install.
type Choice struct {
	Link, Name, Path string
	Priority         int
	Followers        []Follower // links that go with it: --slave or --follower
}

// Follower is a link that is made with that of its choice.
type Follower struct{ Link, Name, Path string }

// Parse reads the arguments behind update-alternatives. Ok is false when they
// are not those of an --install.
func Parse(args []string) (c Choice, ok bool, err error) {
	for len(args) > 0 {
		switch option := args[0]; option {
		case "--install":
			if len(args) < 5 {
				return c, false, fmt.Errorf("--install: want a link, a name, a path and a priority")
			}
			c.Link, c.Name, c.Path, ok = args[1], args[2], args[3], true
			if c.Priority, err = strconv.Atoi(args[4]); err != nil {
				return c, false, fmt.Errorf("priority %q: want a number", args[4])
			}
			args = args[5:]
		case "--slave", "--follower":
			if len(args) < 4 {
				return c, false, fmt.Errorf("%s: want a link, a name and a path", option)
			}
			c.Followers = append(c.Followers, Follower{args[1], args[2], args[3]})
			args = args[4:]
		case "--family", "--initscript":
			args = args[min(2, len(args)):]
		case "--quiet", "--verbose", "--force", "--keep-missing", "--keep-foreign":
			args = args[1:]
		default:
			return c, false, nil
		}
	}
	if ok {
		err = c.check()
	}
	return c, ok && err == nil, err
}

func (c Choice) check() error {
	all := append([]Follower{{c.Link, c.Name, c.Path}}, c.Followers...)
	for i, f := range all {
		if f.Name == "" || strings.ContainsAny(f.Name, "/ \n\t") || f.Name == "." || f.Name == ".." {
			return fmt.Errorf("name %q: want one without slashes and blanks", f.Name)
		}
		for _, p := range []string{f.Link, f.Path} {
			if !strings.HasPrefix(p, "/") || strings.Contains(p, "\n") {
				return fmt.Errorf("path %q: want an absolute one", p)
			}
		}
		for _, other := range all[:i] {
			if other.Name == f.Name || other.Link == f.Link {
				return fmt.Errorf("%s is there twice", f.Name)
			}
		}
	}
	return nil
}

// Group is the choices for one name.
type group struct {
	link      string
	choices   []Choice
	followers map[string]string // links by name
}

// Set is all alternatives of a tree.
type Set struct{ groups map[string]*group }

// Add adds a choice; one for the same name and path replaces an earlier one.
func (s *Set) Add(c Choice) error {
	if s.groups == nil {
		s.groups = map[string]*group{}
	}
	g := s.groups[c.Name]
	if g == nil {
		g = &group{followers: map[string]string{}}
		s.groups[c.Name] = g
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		if _, taken := s.groups[name].followers[c.Name]; taken && name != c.Name {
			return fmt.Errorf("%s goes with %s already", c.Name, name)
		}
	}
	g.link = c.Link
	for _, f := range c.Followers {
		g.followers[f.Name] = f.Link
	}
	at := slices.IndexFunc(g.choices, func(other Choice) bool { return other.Path == c.Path })
	if at < 0 {
		g.choices = append(g.choices, c)
	} else {
		g.choices[at] = c
	}
	return nil
}

// best is the choice of the highest priority; of equal ones, the first.
func (g *group) best() Choice {
	best := g.choices[0]
	for _, c := range g.choices[1:] {
		if c.Priority > best.Priority {
			best = c
		}
	}
	return best
}

// Write makes the links and writes what update-alternatives wants to find in
// the folder admin. It returns the names.
func (s *Set) Write(t *tree.Tree, admin, source string) ([]string, error) {
	names := slices.Sorted(maps.Keys(s.groups))
	for _, name := range names {
		g := s.groups[name]
		best := g.best()
		if err := link(t, g.link, name, best.Path, source); err != nil {
			return nil, err
		}
		for _, f := range best.Followers {
			if _, ok := t.Resolve(f.Path); !ok {
				continue
			}
			if err := link(t, g.followers[f.Name], f.Name, f.Path, source); err != nil {
				return nil, err
			}
		}
		state := g.state()
		n := &tree.Node{Mode: 0o644, Source: source, Content: tree.Content{At: bytes.NewReader(state), Size: int64(len(state))}}
		if err := t.Put(path.Join(admin, name), n); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// link makes at -> /etc/alternatives/name -> target. A file in the link's
// place stays: it is not an alternative's.
func link(t *tree.Tree, at, name, target, source string) error {
	indirect := "/etc/alternatives/" + name
	if err := t.Put(indirect, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target, Source: source}); err != nil {
		return err
	}
	if old, ok := t.Lookup(at); ok && old.Kind != tree.Symlink {
		return nil
	}
	return t.Put(at, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: indirect, Source: source})
}

// state is the content of the file that update-alternatives keeps for a name.
func (g *group) state() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "auto\n%s\n", g.link)
	var followers []string
	for name := range g.followers {
		followers = append(followers, name)
	}
	slices.Sort(followers)
	for _, name := range followers {
		fmt.Fprintf(&out, "%s\n%s\n", name, g.followers[name])
	}
	fmt.Fprintln(&out)
	choices := slices.Clone(g.choices)
	slices.SortFunc(choices, func(a, b Choice) int { return strings.Compare(a.Path, b.Path) })
	for _, c := range choices {
		fmt.Fprintf(&out, "%s\n%d\n", c.Path, c.Priority)
		for _, name := range followers {
			at := slices.IndexFunc(c.Followers, func(f Follower) bool { return f.Name == name })
			if at >= 0 {
				fmt.Fprint(&out, c.Followers[at].Path)
			}
			fmt.Fprintln(&out)
		}
	}
	fmt.Fprintln(&out)
	return out.Bytes()
}
