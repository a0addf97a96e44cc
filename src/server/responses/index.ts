export { responsesRoutes } from "./routes.ts";
export { createResponseSchema, listQuerySchema, retrieveQuerySchema } from "./schemas.ts";
