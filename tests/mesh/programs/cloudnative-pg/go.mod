module inventory/mesh/cloudnative-pg

go 1.26

require github.com/cloudnative-pg/cloudnative-pg v1.27.0
