package compare

import (
	"context"
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// FirstDifference is the first path, in the order of a walk, at which two
// trees differ, and what differs there. Which names are hard links of each
// other counts, too: it shows in the image.
func FirstDifference(a, b *tree.Tree) (path, what string, differ bool) {
	joined := pairs(a, b)
	firstOld, firstNew := map[*tree.Node]string{}, map[*tree.Node]string{}
	const atOnce = 512 // so that what follows a difference is not read to its end
	for start := 0; start < len(joined); start += atOnce {
		some := joined[start:min(start+atOnce, len(joined))]
		contents, err := compareContents(context.Background(), some)
		for i, p := range some {
			if err != nil { // of one of them: they have to be asked one by one
				alone, err := compareContents(context.Background(), some[i:i+1])
				if err != nil {
					return p.path, err.Error(), true
				}
				contents[i] = alone[0]
			}
			switch {
			case p.old == nil:
				return p.path, "only the second has it, a " + p.new.Kind.String(), true
			case p.new == nil:
				return p.path, "only the first has it, a " + p.old.Kind.String(), true
			}
			what := compareMetadata(p.old, p.new)
			if contents[i] {
				what = append([]string{contentDifference(p)}, what...)
			}
			if _, seen := firstOld[p.old]; !seen {
				firstOld[p.old] = p.path
			}
			if _, seen := firstNew[p.new]; !seen {
				firstNew[p.new] = p.path
			}
			if was, is := firstOld[p.old], firstNew[p.new]; was != is {
				what = append(what, fmt.Sprintf("hard link to %q → %q", was, is))
			}
			if len(what) > 0 {
				return p.path, strings.Join(what, ", "), true
			}
		}
	}
	return "", "", false
}

// contentDifference says where two contents differ.
func contentDifference(p pair) string {
	if p.old.Content.Size != p.new.Content.Size {
		return fmt.Sprintf("content of %d → %d bytes", p.old.Content.Size, p.new.Content.Size)
	}
	one, two := make([]byte, 1<<16), make([]byte, 1<<16)
	for done := int64(0); done < p.old.Content.Size; done += int64(len(one)) {
		size := min(int64(len(one)), p.old.Content.Size-done)
		one, two = one[:size], two[:size]
		if readFull(p.old.Content, one, done) != nil || readFull(p.new.Content, two, done) != nil {
			break
		}
		for i := range one {
			if one[i] != two[i] {
				return fmt.Sprintf("content from byte %d on", done+int64(i))
			}
		}
	}
	return contentChanged
}
