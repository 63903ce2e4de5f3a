package passage_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// older are the places where what ships may speak something older than TLS 1.3, or
// none, and why: they are other people's servers, or this machine.
var older = map[string]string{
	"kiosk/directory/directory.go":  "an organisation's provider decides; it only takes rights away, and a passkey is needed, too",
	"kiosk/bridge/bridge.go":        "a homeserver or a hook of somebody else's; alarms name nobody",
	"kiosk/commission/persons.go":   "a simulator's panel, in a rehearsal",
	"kiosk/cmd/passage/screen.go":   "this machine's own page",
	"kiosk/devices/attack.go":       "a camera in the cabinet",
	"drivers/camera/mjpeg/mjpeg.go": "a camera in the cabinet",
}

// Lines between lanes, sites and the register are TLS 1.3: whatever makes a TLS
// configuration says so, and whoever takes a usual client is among the exceptions.
func TestTLS(t *testing.T) {
	used := map[string]bool{}
	found := 0
	for _, top := range []string{"kiosk", "eesclient", "drivers", "matcher", "keys"} {
		err := filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			bad := func(n ast.Node, what string) {
				used[path] = true
				if older[path] == "" {
					t.Errorf("%v: %s", set.Position(n.Pos()), what)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					switch is(n.Type) {
					case "tls.Config":
						found++
						if is(field(n, "MinVersion")) != "tls.VersionTLS13" {
							bad(n, "a TLS configuration that does not ask for 1.3")
						}
					case "http.Transport":
						if field(n, "TLSClientConfig") == nil {
							bad(n, "a transport without a TLS configuration of its own")
						}
					case "http.Client":
						if field(n, "Transport") == nil {
							bad(n, "a client with the usual transport")
						}
					}
				case *ast.SelectorExpr:
					switch is(n) {
					case "http.DefaultClient", "http.DefaultTransport", "http.Get", "http.Head", "http.Post", "http.PostForm", "http.ListenAndServeTLS", "tls.Dial":
						bad(n, is(n)+" speaks TLS 1.2 as well")
					case "tls.VersionTLS12", "tls.VersionTLS11", "tls.VersionTLS10":
						bad(n, "something older than TLS 1.3")
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 6 {
		t.Errorf("only %d TLS configurations were found", found)
	}
	for path := range older {
		if !used[path] {
			t.Errorf("%s is no exception any more", path)
		}
	}
}

// is names a type or a constant of another package.
func is(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// field is what a literal gives a field; nil if it says nothing.
func field(c *ast.CompositeLit, name string) ast.Expr {
	for _, e := range c.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if k, ok := kv.Key.(*ast.Ident); ok && k.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}
