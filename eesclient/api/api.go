// Package api is the contract between a lane and the register: OpenAPI 3.1,
// the types and the server interface generated from it.
package api

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi.yaml openapi.yaml

// Contract is the document's text.
//
//go:embed openapi.yaml
var Contract []byte
